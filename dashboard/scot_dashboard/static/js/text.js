/** Words on the screen, in English and Japanese. */

/** @type {Record<string, [string, string]>} */
const WORDS = {
  notPrimary: ["not for primary alarm notification; look at the device", "一次アラーム通知用ではありません。機器を確認してください"],
  acknowledge: ["Acknowledge", "確認する"],
  acknowledgeAll: ["Acknowledge all, on every screen here (A)", "すべて確認、この室内の全画面 (A)"],
  pauseSignals: ["Pause flashing for 2 min, on every screen here (P)", "点滅を2分休止、この室内の全画面 (P)"],
  resumeSignals: ["Flash again (P)", "点滅を再開 (P)"],
  off: ["OFF", "停止"],
  high: ["high priority", "高優先度"],
  medium: ["medium priority", "中優先度"],
  low: ["low priority", "低優先度"],
  alarmLog: ["Alarm log", "アラーム記録"],
  alarmOff: ["alarm off", "アラーム停止"],
  technical: ["technical", "技術"],
  acts: ["acts", "操作"],
  everything: ["all", "すべて"],
  filterall: ["all lines", "すべて"],
  filterHi: ["high priority", "高優先度"],
  filterMe: ["medium priority", "中優先度"],
  filterLo: ["low priority", "低優先度"],
  filterTec: ["technical alarms", "技術アラーム"],
  filteracts: ["what people did", "人の操作"],
  noLines: ["Nothing of this kind yet.", "該当する記録はまだありません。"],
  signals: ["Signals of all screens", "全画面の信号"],
  signalsOn: ["on", "作動"],
  signalsPsd: ["paused 2 min", "2分休止"],
  signalsOff: ["off", "停止"],
  state_active: ["began", "発生"],
  state_acked: ["acknowledged", "確認済"],
  state_latched: ["ended, not seen by anybody", "解除、未確認"],
  state_inactive: ["ended", "終了"],
  state_pending: ["about to begin", "発生前"],
  state_unknown: ["unknown", "不明"],
  unknownNow: ["unknown now", "現在不明"],
  trends: ["Trends", "トレンド"],
  display: ["This display", "この画面"],
  keys: ["Keys", "キー操作"],
  keyAck: ["Acknowledge all alarms, here only", "アラームをすべて確認 (この室内のみ)"],
  keyPause: ["Pause the flashing for 2 min, or go on", "点滅を2分休止、または再開"],
  keyStep: ["5 s back, on", "5秒戻る・進む"],
  keyFar: ["30 s back, on", "30秒戻る・進む"],
  keyFreeze: ["Hold the picture, let it go on", "画像を静止・再開"],
  speed: ["Speed of the traces", "掃引速度"],
  ruler: ["A ruler of 100 mm", "100 mm の定規"],
  rulerHint: ["Move it until it is 100 mm long, then traces are true to the millimetre. Screen width:", "実測で100 mmになるまで動かすと、波形が実寸になります。画面の幅:"],
  notSet: ["not set", "未設定"],
  pressure: ["Blood pressure", "血圧"],
  gas: ["Gases", "ガス分圧"],
  theme: ["Theme", "配色"],
  dark: ["dark", "暗い"],
  bright: ["bright", "明るい"],
  displayNote: ["Kept on this display; other screens and the recording do not change.", "この画面だけの設定です。他の画面や記録は変わりません。"],
  noAlarms: ["No alarm reported", "アラームの報告なし"],
  noReporter: ["No device here reports alarms", "アラームを報告する機器はありません"],
  alarmsUnknown: ["alarms unknown: no data", "アラーム不明: データなし"],
  limit: ["limit", "限界"],
  since: ["for", "継続"],
  more: ["more", "件"],
  clocks: ["clocks", "時計"],
  sure: ["sure", "確実"],
  likely: ["likely", "推定"],
  needs: ["needs", "必要"],
  oneWay: ["one-way", "片方向"],
  clockUnknown: ["clock error unknown", "時計誤差不明"],
  behind: ["behind", "遅れ"],
  rec: ["REC", "録画中"],
  notRecording: ["NOT RECORDING", "録画停止"],
  lostSamples: ["lost", "欠落"],
  replay: ["REPLAY", "再生"],
  live: ["LIVE", "ライブ"],
  toReplay: ["Back to the replay", "再生位置へ戻る"],
  behindReplay: ["BEHIND THE REPLAY", "再生位置より前"],
  replayGoesOn: ["a recording; the replay goes on", "録画。再生は続行中"],
  toLive: ["Back to live", "ライブへ戻る"],
  behindLive: ["BEHIND LIVE", "ライブではありません"],
  frozen: ["FROZEN at", "静止"],
  roomGoesOn: ["the room is live", "手術室はライブ中"],
  seeking: ["fetching", "取得中"],
  noData: ["no data", "データなし"],
  last: ["last", "直前"],
  never: ["no data yet", "データ未受信"],
  invalid: ["not valid", "無効"],
  noValue: ["no value", "値なし"],
  overflow: ["above what it can measure", "測定上限超過"],
  underflow: ["below what it can measure", "測定下限未満"],
  calibrating: ["calibrating", "校正中"],
  notAvailable: ["not measured", "未測定"],
  gainHint: ["Press to change the gain: fitted, ×0.5, ×1, ×2, ×4 (an ECG at ×1 is 10 mm/mV)", "押すと感度変更: 自動、×0.5、×1、×2、×4 (心電図 ×1 は 10 mm/mV)"],
  doubtful: ["doubtful", "要確認"],
  simulated: ["SIMULATED", "模擬"],
  lost: ["connection lost", "接続断"],
  noView: ["no view for", "表示なし"],
  lostWhy: ["the line to the room is cut; this screen connects again by itself. Look at the devices.", "手術室との接続が切れました。自動で再接続します。機器を確認してください。"],
  silentWhy: ["nothing comes from any device; the room's bus may be restarting. Look at the devices.", "どの機器からもデータがありません。バスの再起動中かもしれません。機器を確認してください。"],
  say_lost: ["Connection lost", "接続断"],
  say_silent: ["No data from any device", "全機器データなし"],
  say_replay: ["A recording is played, not the patient", "録画の再生中。患者の現在ではありません"],
  say_behind: ["Behind live", "ライブより遅れています"],
  say_unsynced: ["A clock of the room is not known", "時計誤差不明の機器があります"],
  say_simulated: ["Simulated data, no patient", "模擬データ。患者ではありません"],
  say_live: ["Live", "ライブ"],
  mean: ["mean", "平均"],
  axial: ["Axial", "水平断"],
  coronal: ["Coronal", "冠状断"],
  sagittal: ["Sagittal", "矢状断"],
  toTarget: ["to target", "目標まで"],
  angle: ["angle to plan", "計画との角度"],
  notSeen: ["tool not seen", "ツール未検出"],
  noTarget: ["no target planned", "目標未設定"],
  noVolume: ["no picture for this frame of reference", "この座標系の画像なし"],
  knocks: ["knocks", "が入室を求めています"],
  admit: ["Admit", "許可"],
  refuse: ["Refuse", "拒否"],
  revoke: ["Remove", "退室させる"],
  viewers: ["Who watches", "視聴者"],
  nobody: ["nobody watches", "視聴者なし"],
  deidentified: ["de-identified", "匿名"],
  alarms: ["alarms", "アラーム"],
  notes: ["notes", "注記"],
  all: ["all channels", "全チャネル"],
  close: ["Close", "閉じる"],
  missed: ["samples that newer ones replaced before they reached this screen", "この画面に届く前に新しい値で置き換えられた標本"],
  localTime: ["local", "現地"],
  noVideoDecoder: ["This browser cannot decode video here (WebCodecs needs localhost or HTTPS)", "このブラウザでは映像を復号できません (localhost か HTTPS が必要)"],
  youBehind: ["you are {} behind the room", "手術室から {} 遅れ"],
  noNames: ["no names, no faces", "氏名・顔なし"],
  asked: ["The room has been asked. Please wait until somebody lets you in.", "手術室に確認しています。許可されるまでお待ちください。"],
  needInvitation: ["You need an invitation. Ask the operating room to send you one (scot invite).", "招待が必要です。手術室に招待リンクを依頼してください (scot invite)。"],
  needKey: ["This wall needs its key. Open the link that `scot demo` or `scot up` printed.", "この画面には鍵が必要です。`scot demo` または `scot up` が表示したリンクを開いてください。"],
  ended: ["Your visit has ended.", "訪問は終了しました。"],
  opening: ["Opening the room", "接続しています"],
  noAnswer: ["The room does not answer. It will be tried again by itself.", "手術室が応答しません。自動で再試行します。"],
  raiseHand: ["Raise hand", "挙手"],
  handUp: ["raises a hand", "挙手しています"],
  leave: ["Leave", "退室"],
  pointer: ["Pointer", "ポインタ"],
  ink: ["Ink", "ペン"],
  arrow: ["Arrow", "矢印"],
  undo: ["Undo", "取り消し"],
  say: ["Write to the room", "手術室へ書く"],
  send: ["Send", "送信"],
  you: ["You", "あなた"],
  noNotes: ["No notes yet. A click on a time moves every pane there.", "注記はまだありません。時刻を押すと全画面がその時点に移動します。"],
  chapter: ["Chapter", "チャプター"],
  every: ["every", "毎"],
  acknowledged: ["acknowledged", "確認済"],
  paused: ["paused", "休止"],
  latched: ["ended", "解除"],
  video: ["Video", "映像"],
  engineer: ["Engineer", "技術者"],
  channels: ["Channels", "チャネル"],
  findChannel: ["Find a channel", "チャネルを探す"],
  chooseChannels: ["Choose channels to plot on the left", "左で表示するチャネルを選択"],
  plot: ["Plot", "グラフ"],
  plots: ["Plots", "グラフ"],
  samples: ["Samples", "標本"],
  time: ["time", "時刻"],
  seq: ["seq", "番号"],
  value: ["value", "値"],
  state: ["clock", "時計"],
  flags: ["flags", "標識"],
  showErrors: ["How well its time is known", "時刻の確かさ"],
  setA: ["Set A here", "Aをここに"],
  setB: ["Set B here", "Bをここに"],
  setBoth: ["[ sets A, ] sets B, Esc clears", "[ でA、] でB、Escで消去"],
  setOther: ["set the other mark too: [ A, ] B", "もう一方も設定: [ A、] B"],
  noSample: ["no sample of the listed channel there", "選択チャネルの標本がありません"],
  zoomIn: ["Shorter stretch", "拡大"],
  zoomOut: ["Longer stretch", "縮小"],
  order_before: ["A is before B", "AはBより前"],
  order_after: ["A is after B", "AはBより後"],
  order_cannotTell: ["cannot tell which was first", "前後は判定できません"],
  play: ["Play, pause", "再生・一時停止"],
  reverse: ["Backwards", "逆再生"],
  loop: ["Loop between A and B", "A-B間を繰り返す"],
  rate: ["Speed", "速度"],
  position: ["Position", "位置"],
  toStart: ["To the beginning", "最初へ"],
  atEnd: ["at its end", "終端"],
  pictureBack: ["One picture back", "1フレーム戻る"],
  pictureOn: ["One picture on", "1フレーム進む"],
  sampleBack: ["One sample of the listed channel back", "選択チャネルの1標本戻る"],
  sampleOn: ["One sample of the listed channel on", "選択チャネルの1標本進む"],
};

export const lang = (() => {
  const wanted = new URLSearchParams(location.search).get("lang") ?? navigator.language;
  return wanted.startsWith("ja") ? "ja" : "en";
})();

/** @param {keyof typeof WORDS | string} key */
export function word(key) {
  const pair = WORDS[key];
  return pair ? pair[lang === "ja" ? 1 : 0] : key;
}

/** @param {Record<string, string>|undefined} labels @param {string} fallback */
export function label(labels, fallback) {
  return labels?.[lang] || labels?.en || Object.values(labels ?? {})[0] || fallback;
}

/** A time that has passed, as short as can be read. @param {number} ms */
export function ageText(ms) {
  const s = ms / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 100) return `${Math.floor(s)} s`;
  if (s < 5400) return `${Math.floor(s / 60)} min`;
  return `${(s / 3600).toFixed(1)} h`;
}

/** A delay a person may feel. @param {number} ms */
export function delayText(ms) {
  return ms < 995 ? `${Math.round(ms)} ms` : ageText(ms);
}

/** How long something has lasted, in the words of the language. @param {number} ms */
export function sinceText(ms) {
  return `${word("since")} ${ageText(ms)}`;
}

/** mm:ss or h:mm:ss. @param {number} ms */
export function spanText(ms) {
  const s = Math.floor(ms / 1000);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const tail = `${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  return s >= 3600 ? `${Math.floor(s / 3600)}:${tail}` : tail;
}

/** UCUM codes as people write them. @param {string|undefined} ucum */
export function unitText(ucum) {
  if (!ucum || ucum === "1") return "";
  const known = UNITS[ucum];
  if (known !== undefined) return known;
  return ucum
    .replace(/\{[^}]*\}/g, "")
    .replace(/\[Hg\]/g, "Hg")
    .replace(/\[H2O\]/g, "H₂O")
    .replace(/\[([A-Za-z]+)'?U?S?\]/g, "$1")
    .replace(/^\//, "/")
    .replace(/\bu(?=[A-Z]|mol|g|m)/g, "µ")
    .replace(/\bCel\b/g, "°C")
    .replace(/\bdeg\b/g, "°")
    .replace(/\bOhm\b/g, "Ω")
    .replace(/\./g, "·");
}

/** @type {Record<string, string>} */
const UNITS = {
  "{beat}/min": "/min", "{beats}/min": "/min", "{breath}/min": "/min", "{breaths}/min": "/min",
  "mm[Hg]": "mmHg", "cm[H2O]": "cmH₂O", Cel: "°C", uV: "µV", "{score}": "", "[ppm]": "ppm",
};

/**
 * A number in as few figures as it deserves: the resolution a device states, else by size.
 *
 * @param {number} value
 * @param {import("./types.js").Channel} channel
 */
export function numberText(value, channel) {
  const stated = channel.attrs?.resolution;
  if (typeof stated === "number" && stated > 0) {
    return value.toFixed(Math.min(4, Math.max(0, Math.ceil(-Math.log10(stated) - 1e-9))));
  }
  if (channel.unit === "Cel") return value.toFixed(1);
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}
