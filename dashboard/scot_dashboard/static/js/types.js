/**
 * The nouns of the page, for the type checker only.
 *
 * Times: `ns` is bus time as BigInt nanoseconds; `t` is bus time as milliseconds since the first
 * `hello` of this page (a float64 keeps it to well under a microsecond for a week).
 */

/**
 * @typedef {"numeric"|"waveform"|"pose"|"video"|"image"|"text"|"event"|"alarm"|"annotation"} Kind
 *
 * @typedef {object} Channel
 * @property {string} name
 * @property {Kind} kind
 * @property {string} [unit] UCUM
 * @property {string} [code] MDC reference id
 * @property {number|null} [rate_hz]
 * @property {Record<string, string>} [label]
 * @property {string} [sensitivity]
 * @property {boolean} [latched]
 * @property {number|null} [lower]
 * @property {number|null} [upper]
 * @property {number} [stale_after_s]
 * @property {string} [frame]
 * @property {string} [codec]
 * @property {number|null} [width_px]
 * @property {number|null} [height_px]
 * @property {string[]} [numeric_of]
 * @property {number|null} [scale_min]
 * @property {number|null} [scale_max]
 * @property {number|null} [err_mm]
 * @property {Record<string, any>} [attrs]
 *
 * @typedef {object} Device
 * @property {string} name
 * @property {string} provider
 * @property {Record<string, string>} [label]
 * @property {string} [state]
 * @property {string} [reason]
 * @property {bigint|number} [epoch] bus ns of its start
 * @property {Record<string, Channel>} [channels]
 *
 * @typedef {object} Catalogue
 * @property {string} workspace
 * @property {number} version
 * @property {boolean} replay
 * @property {Record<string, string>} title
 * @property {string} case
 * @property {Record<string, Device>} devices
 * @property {Record<string, string>} volumes
 * @property {string} time_zone IANA name; empty when the room names none
 *
 * @typedef {object} Hello
 * @property {number} protocol
 * @property {"or_staff"|"consultant"|"engineer"} role
 * @property {string} author
 * @property {Catalogue} catalogue
 * @property {bigint} bus_now_ns
 * @property {number} utc_offset_ns
 * @property {number} playout_ms
 * @property {bigint|number|null} oldest_ns
 * @property {string} session_id
 *
 * @typedef {object} Person
 * @property {string} id
 * @property {string} author
 * @property {string} role
 * @property {"knocking"|"admitted"|"revoked"|"gone"} state
 * @property {number|null} behind_ms
 * @property {bigint|number|null} seen_ns
 */

/**
 * A sample as the page keeps it.
 *
 * @typedef {object} Sample
 * @property {number} t bus time, ms
 * @property {bigint} ns bus time, exact
 * @property {number} epoch
 * @property {number} seq
 * @property {number|null} err_ms likely error
 * @property {number|null} bound_ms guaranteed bound
 * @property {number} state clock state, 0 is locked
 * @property {number} flags
 * @property {any} value by kind, see wire.js
 * @property {number} [heard] bus time when it came, ms; only of what came live
 */

/**
 * What one channel looks like at the cursor.
 *
 * @typedef {object} Cell
 * @property {any} value
 * @property {number} age_ms
 * @property {number} flags
 * @property {boolean} stale
 * @property {boolean} [silent] its device streams, and has fallen silent
 * @property {number} t_unix_ms
 */

/**
 * @typedef {object} AlarmNow
 * @property {string} device
 * @property {string} id
 * @property {string} kind
 * @property {string} priority
 * @property {"active"|"acked"|"latched"|"pending"|"unknown"|"inactive"} state as shown
 * @property {string} under what it was before it became unknown
 * @property {string} activation the device's own: On, Psd, Off
 * @property {string} channel
 * @property {Record<string, string>} text
 * @property {number|null} value
 * @property {number|null} limit
 * @property {bigint} since_ns when this occurrence began; an acknowledgement names it
 * @property {number} age_ms since then
 * @property {string} by who acknowledged it
 * @property {string} unseen the highest priority it has had that nobody has acknowledged
 * @property {boolean} own the room's own, technical conclusion
 *
 * @typedef {object} Signals whether the room's screens signal
 * @property {"On"|"Psd"|"Off"} activation
 * @property {number} left_ms of a pause
 * @property {string} by who paused them or switched them off
 * @property {number|null} since_t when
 *
 * @typedef {object} LogLine one line of the alarm log
 * @property {number} t
 * @property {string} to the state, or of the signals On, Psd, Off
 * @property {string} was
 * @property {string} by
 * @property {string} kind
 * @property {string} priority
 * @property {string} device
 * @property {string} id
 * @property {Record<string, string>} text
 * @property {number|null} value
 * @property {number|null} limit
 * @property {string} channel
 *
 * @typedef {object} Note
 * @property {string} id
 * @property {string} channel
 * @property {bigint} at_ns
 * @property {number} at_t
 * @property {number} at_unix_ms
 * @property {string} author
 * @property {string} tool
 * @property {[number, number][]} points
 * @property {string} text
 * @property {number} ttl_s
 * @property {number} t when it was published
 *
 * @typedef {object} VideoNow
 * @property {string} address
 * @property {import("./feed/framing.js").Framing} framing of the picture on the screen
 * @property {number|null} age_ms
 * @property {number|null} lag_ms from its capture to the screen, live only
 * @property {number} fps
 * @property {boolean} stale
 * @property {boolean} [silent] its device streams, and has fallen silent
 * @property {number} aspect width over height
 * @property {bigint|null} ns of the picture on the screen
 * @property {number|null} t_unix_ms
 * @property {string} problem
 * @property {{count: number, ms: number}|null} left pictures just left out because this machine is too slow
 * @property {boolean} seen it lies on the screen
 *
 * How well a source's clock is known.
 *
 * @typedef {object} Clock
 * @property {number|null} err_ms likely error, null unknown
 * @property {number|null} bound_ms guaranteed bound, null where nothing is guaranteed
 * @property {number} state 0 is locked
 *
 * How a replay's player stands; times are of the recording.
 *
 * @typedef {object} Transport
 * @property {number|bigint} bus_ns of the room, then
 * @property {number} lap
 * @property {bigint|number} position_ns
 * @property {number} rate negative goes back
 * @property {boolean} playing
 * @property {(bigint|number)[]} loop
 * @property {boolean} again
 * @property {boolean} ended
 * @property {bigint|number} first_ns
 * @property {bigint|number} last_ns
 * @property {{origin_ns: bigint|number, period_ns: bigint|number}} laps
 *
 * @typedef {object} View
 * @property {boolean} connected
 * @property {number} lost_ms since the last byte, 0 when connected
 * @property {number} now_unix_ms
 * @property {number} now_t
 * @property {number} oldest_t
 * @property {"live"|"play"|"frozen"} mode
 * @property {number} cursor_t
 * @property {number} cursor_unix_ms
 * @property {number} behind_ms 0 when live
 * @property {boolean} seeking
 * @property {Record<string, Cell>} cells
 * @property {Record<string, Cell>} heads numerics as they are now, while the cursor is behind
 * @property {AlarmNow[]} alarms live, whatever the cursor says
 * @property {AlarmNow[]} cursorAlarms
 * @property {Signals} signals
 * @property {boolean} kept the room keeps alarms; else these are the devices' own words
 * @property {Record<string, number>} silent_ms by device: since its newest sample
 * @property {{err_ms: number|null, bound_ms: number|null, state: number, device: string}} clock the worst; device that is not locked
 * @property {Record<string, Clock>} clocks by device that speaks
 * @property {Record<string, VideoNow>} videos
 * @property {Record<string, [number, number]>} ranges drawing range of each waveform, in its unit
 * @property {boolean} simulated
 * @property {Record<string, number>} conflated
 * @property {Record<string, number>} unread samples that could not be read
 * @property {Record<string, number>} unshown pictures that were not asked for, by address
 * @property {number} left_out pictures that came and that this machine was too slow for
 * @property {Record<string, "full"|"keys">} shows videos that are asked for
 * @property {number} decoders of panes
 * @property {number} columns waveform columns drawn
 * @property {number} frames video frames drawn
 * @property {number} delay_ms live delay of the waveforms
 * @property {number} seek_ms how long the last rewind took to draw
 * @property {number} arrived the page's last move through time that is seen here
 * @property {Transport|null} player of a replay
 * @property {[number, number]|null} span_t of the recording that is replayed
 * @property {number[]|null} loop_t the stretch that is played again and again
 * @property {number} sync_ms half the shortest round trip: how well this page knows bus time
 */

export {};
