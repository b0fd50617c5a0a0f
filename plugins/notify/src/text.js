// UTF-8 to and from text: QuickJS has no TextDecoder and no TextEncoder, but it can escape.

export const decode = (bytes) => {
  let text = "";
  // In pieces, so that a large body does not become a call with too many arguments.
  for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.slice(at, at + 4096));
  return decodeURIComponent(escape(text));
};

export const encode = (text) => Uint8Array.from(unescape(encodeURIComponent(text)), (letter) => letter.charCodeAt(0));
