/** `window.scot`: what the page shows, for tests to read and never to change. @import {Session} from "./session.js" */

/**
 * @param {Session} session
 * @param {() => {address: string, text: string, age_ms: number|null, stale: boolean}[]} tiles
 * @param {() => Record<string, any>} [more]
 */
export function expose(session, tiles, more = () => ({})) {
  Object.defineProperty(window, "scot", {
    get: () => {
      const view = session.shown;
      const main = view?.videos.main;
      return Object.freeze({
        connected: view?.connected ?? false,
        mode: view?.mode ?? "live",
        videoFramesDrawn: view?.frames ?? 0,
        lastVideoBusNs: main?.ns ?? null,
        waveformColumnsDrawn: view?.columns ?? 0,
        behindLiveMs: view?.behind_ms ?? 0,
        cursorUnixMs: view?.cursor_unix_ms ?? 0,
        oldestUnixMs: view ? view.cursor_unix_ms - view.cursor_t + view.oldest_t : 0,
        seeking: view?.seeking ?? false,
        seekMs: view?.seek_ms ?? 0,
        syncMs: view?.sync_ms ?? null,
        waveformDelayMs: view?.delay_ms ?? null,
        videoLagMs: main?.lag_ms ?? null,
        conflated: view?.conflated ?? {},
        unread: view?.unread ?? {},
        unshown: view?.unshown ?? {},
        shows: view?.shows ?? {},
        decoders: view?.decoders ?? 0,
        picturesLeftOut: view?.left_out ?? 0,
        alarms: view?.alarms ?? [],
        tiles: Object.fromEntries(tiles().map(({ address, ...rest }) => [address, rest])),
        errors: [...session.errors],
        ...more(),
      });
    },
  });
}
