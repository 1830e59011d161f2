/** Words of the tour: English, Japanese. */

/** @type {Record<string, [string, string]>} */
export const tour = {
  tour: ["Tour of this screen", "この画面の案内"],
  tourNext: ["Next", "次へ"],
  tourBack: ["Back", "戻る"],
  tourEnd: ["Skip (Esc)", "閉じる (Esc)"],
  tourDone: ["Done", "完了"],
  tourOf: ["{} of {}", "{}／{} 項目"],
  tour_alarms: ["Alarms are always live here, whatever the rest shows. A press acknowledges one on every screen of this room, never at the device. Look at the device.", "アラームは他の表示が過去でも常にライブです。押すとこの室内の全画面で確認済みになりますが、機器側は変わりません。必ず機器を確認してください。"],
  tour_numbers: ["Each value carries its age. When its device falls silent it turns grey with a dash and the seconds of silence: an old number never stays.", "各値には経過時間が付きます。機器からのデータが途絶えると灰色の「– –」と経過秒数になり、古い値は残りません。"],
  tour_lanes: ["One timeline for everything: press or drag to look back; the keys , and . go from event to event, B and N from alarm to alarm. The room goes on; LIVE brings you back.", "すべての記録が一つの時間軸に並びます。押す・ドラッグで過去へ、, と . で出来事、B と N でアラームへ移動。「ライブ」で現在に戻ります。"],
  tour_mark: ["M marks this moment for everybody who looks at the recording later. A foot pedal can do it too.", "M でこの瞬間に印を付け、後で録画を見る全員に残します。フットペダルでも可能です。"],
  tour_layout: ["E arranges the panes: drag, resize, hide, undo. Save it for the room, and every screen can show it.", "E で表示枠を移動・拡大縮小・非表示にできます（元に戻せます）。保存すれば室内のどの画面でも使えます。"],
  tour_help: ["The keys, this display's settings, and this tour again.", "キー一覧、この画面の設定、この案内はここから開けます。"],
  tour_picture: ["This is what the scope sees, with its age. Choose a tool below it: what you point at or draw is pinned to the very frame you saw, and the room sees it.", "内視鏡の映像と遅れです。下の道具で指す・描くと、見ていたその一コマに固定され、手術室に表示されます。"],
  tour_talk: ["What is said stays, with its time. A press on the time goes to that moment.", "発言は時刻とともに残ります。時刻を押すとその瞬間に移ります。"],
  tour_hand: ["Raise a hand to be heard. You see no names, and the room sees that you watch and how late.", "挙手で発言を求めます。患者名は表示されません。手術室にはあなたの視聴と遅れが表示されます。"],
  tour_tree: ["Every channel, as it is. A tick plots it; a press lists its samples.", "全チャネルの一覧です。チェックでグラフ、押すと標本を表示します。"],
  tour_marks: ["[ and ] set A and B: the time between them, with what is likely and what is sure.", "[ と ] で A・B を置くと、その間の時間と誤差（推定・確実）が表示されます。"],
  tour_raw: ["The samples themselves: time, number, value, both errors of the time, the state of the clock.", "標本そのもの：時刻、番号、値、時刻の誤差（推定・確実）、時計の状態。"],
  tour_transport: ["The player of a recording, or the way back in a live room. Every feed, gap and alarm has its lane; b and n go from alarm to alarm.", "録画の再生操作、ライブでは巻き戻しです。各機器・欠落・アラームが並び、b と n でアラーム間を移動します。"],
};
