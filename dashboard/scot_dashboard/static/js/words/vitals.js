/** Words of numbers, traces and how they are shown: English, Japanese. */

/** @type {Record<string, [string, string]>} */
export const vitals = {
  trends: ["Trends", "トレンド"],
  display: ["This display", "この画面"],
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
  invalid: ["not valid", "無効"],
  noValue: ["no value", "値なし"],
  overflow: ["above what it can measure", "測定上限超過"],
  underflow: ["below what it can measure", "測定下限未満"],
  calibrating: ["calibrating", "校正中"],
  notAvailable: ["not measured", "未測定"],
  gainHint: ["Press to change the gain: fitted, ×0.5, ×1, ×2, ×4 (an ECG at ×1 is 10 mm/mV)", "押すと感度変更: 自動、×0.5、×1、×2、×4 (心電図 ×1 は 10 mm/mV)"],
  doubtful: ["doubtful", "要確認"],
  paced: ["pacing", "ペーシング"],
  mean: ["mean", "平均"],
};
