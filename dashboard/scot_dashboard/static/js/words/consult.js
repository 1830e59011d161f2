/** Words of a remote professor's page, and of letting one in: English, Japanese. */

/** @type {Record<string, [string, string]>} */
export const consult = {
  knocks: ["knocks", "が入室を求めています"],
  admit: ["Admit", "許可"],
  refuse: ["Refuse", "拒否"],
  revoke: ["Remove", "退室させる"],
  viewers: ["Who watches", "視聴者"],
  nobody: ["nobody watches", "視聴者なし"],
  deidentified: ["de-identified", "匿名"],
  youBehind: ["you are {} behind the room", "手術室から {} 遅れ"],
  noNames: ["no names, no faces", "氏名・顔なし"],
  asked: ["The room has been asked. Please wait until somebody lets you in.", "手術室に確認しています。許可されるまでお待ちください。"],
  needInvitation: ["You need an invitation. Ask the operating room to send you one (scot invite).", "招待が必要です。手術室に招待リンクを依頼してください (scot invite)。"],
  ended: ["Your visit has ended.", "訪問は終了しました。"],
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
};
