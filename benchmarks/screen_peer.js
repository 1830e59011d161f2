/**
 * The peer of the screen's benchmark: the same room on a page as most are written. uPlot draws each
 * waveform from its rolling arrays once a frame; socket, decoding, video and text share the main
 * thread with it. Served at the gateway's own origin in place of wall.js; feed modules are ours.
 */

import { Link } from "./feed/link.js";
import { Room } from "./feed/room.js";
import { VideoPane } from "./feed/video.js";
import { enter } from "./session.js";
import uPlot from "./uplot.js";

const WINDOW_S = 5;
const root = document.querySelector("#room");
document.querySelector("#message").remove();
document.body.style.overflow = "hidden";

/** One waveform: arrays that roll, a chart that is given them. */
class Chart {
  constructor(channel, width, height) {
    const n = Math.round(WINDOW_S * channel.rate_hz);
    this.step = 1 / channel.rate_hz;
    this.x = new Float64Array(n);
    this.y = new Float64Array(n);
    this.plot = new uPlot({
      width, height, legend: { show: false }, cursor: { show: false },
      scales: { x: { time: false }, y: { range: [channel.scale_min ?? 0, channel.scale_max ?? 1] } },
      axes: [{ show: false }, { show: false }],
      series: [{}, { stroke: "#3ee6a0", width: 1.2, points: { show: false } }],
    }, [this.x, this.y], root);
  }

  add(t, values) {
    const n = values.length;
    this.x.copyWithin(0, n);
    this.y.copyWithin(0, n);
    const at = this.x.length - n;
    for (let i = 0; i < n; i++) {
      this.x[at + i] = t / 1000 + i * this.step;
      this.y[at + i] = values[i];
    }
  }

  draw() {
    this.plot.setData([this.x, this.y]);
  }
}

const charts = new Map();
const numbers = new Map();
let pane = null;
const pose = document.createElement("p");

class Page extends Room {
  sample(address, header, payload, live) {
    super.sample(address, header, payload, live);
    const track = this.store.tracks.get(address);
    const chart = charts.get(address);
    const newest = track?.samples[track.samples.length - 1];
    if (live && chart && newest) chart.add(newest.t, newest.value);
  }
}

const room = new Page();
room.onPicture = (address, unit) => pane?.address === address && pane.push(unit);
room.tell = (is, body) => {
  if (is !== "catalogue" || charts.size) return;
  for (const [address, { channel }] of room.channels) {
    if (channel.kind === "waveform") charts.set(address, new Chart(channel, 640, 78));
    else if (channel.kind === "numeric") {
      const element = document.createElement("span");
      root.append(element);
      numbers.set(address, element);
    } else if (channel.kind === "video") {
      const canvas = document.createElement("canvas");
      root.append(canvas);
      pane = new VideoPane(address, canvas.transferControlToOffscreen(), null);
      room.shows.want(new Map([[address, "full"]]));
    }
  }
  root.append(pose);
};

/** What the benchmark reads. */
const peer = window.peer = { lags: [], charts, frames: [] };
let shown = null;

function frame(local) {
  requestAnimationFrame(frame);
  if (!charts.size || room.time.base === null) return;
  for (const chart of charts.values()) chart.draw();
  for (const [address, { channel }] of room.channels) {
    if (channel.kind !== "pose") continue;
    const sample = room.store.tracks.get(address)?.samples.at(-1);
    if (sample) pose.textContent = sample.value.position.map((v) => v.toFixed(1)).join(" ");
  }
  peer.frames.push(local);
}

setInterval(() => {
  if (room.time.base === null) return;
  room.tick(performance.now());
  for (const [address, element] of numbers) {
    const value = room.store.tracks.get(address)?.samples.at(-1)?.value.value;
    if (value !== undefined) element.textContent = String(value);
  }
}, 125);

setInterval(() => {
  if (!pane?.main.shown || pane.main.shown === shown) return;
  shown = pane.main.shown;
  peer.lags.push(room.time.now(shown.drawn) - shown.unit.t);
}, 125);

await enter(/^#wall=(.+)$/);
const scheme = location.protocol === "https:" ? "wss" : "ws";
room.link = new Link(`${scheme}://${location.host}/feed`, (message, local) => room.take(message, local), () => {});
requestAnimationFrame(frame);
