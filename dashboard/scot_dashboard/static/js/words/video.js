/** Words on the picture: English, Japanese. */

/** @type {Record<string, [string, string]>} */
export const video = {
  keyFreeze: ["Hold the picture, let it go on", "画像を静止・再開"],
  frozen: ["FROZEN at", "静止"],
  roomGoesOn: ["the room is live", "手術室はライブ中"],
  noVideoDecoder: ["This browser cannot decode video here (WebCodecs needs localhost or HTTPS)", "このブラウザでは映像を復号できません (localhost か HTTPS が必要)"],
  video: ["Video", "映像"],
};
