/** Words of the navigation pane: English, Japanese. */

/** @type {Record<string, [string, string]>} */
export const navigation = {
  axial: ["Axial", "水平断"],
  coronal: ["Coronal", "冠状断"],
  sagittal: ["Sagittal", "矢状断"],
  toTarget: ["to target", "目標まで"],
  angle: ["angle to plan", "計画との角度"],
  notSeen: ["tool not seen", "ツール未検出"],
  noTarget: ["no target planned", "目標未設定"],
  noVolume: ["no picture for this frame of reference", "この座標系の画像なし"],
};
