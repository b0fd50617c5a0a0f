// The plugin __NAME__, a renderer: answers what booting machines ask for.
//
// Throw a failure of the contract where something is wrong: {tag: "failed", val: "why"}. Anything else that is thrown
// ends the call. This is QuickJS: there is no TextDecoder, no URL, no fetch, no timers.

import templates from "hostler:renderer/templates@1.0.0-draft.1";
import description from "./manifest.js";
import { decode, encode } from "./text.js";

export const manifest = {
  describe: () => JSON.stringify(description),
};

export const renderer = {
  render(request) {
    let filled;
    try {
      filled = decode(templates.read(request.path.replace(/^\/+/, "")));
    } catch (refusal) {
      const { tag } = refusal.payload ?? refusal;
      if (tag === "missing") return text(404, "there is no such template\n");
      throw { tag: "failed", val: `no template can be read: ${tag}` };
    }
    // Addresses of the host; the tokens that belong to this machine are already in them.
    const known = request.urls.map(({ name, value }) => [name, value]);
    if (request.machine) known.push(["id", request.machine.id], ["mac", request.machine.mac]);
    for (const [name, value] of known) filled = filled.replaceAll(`{{${name}}}`, value);
    return text(200, filled);
  },
};

const text = (status, content) => ({
  status,
  headers: [{ name: "content-type", value: "text/plain; charset=utf-8" }],
  content: { tag: "bytes", val: encode(content) },
  extra: [],
});
