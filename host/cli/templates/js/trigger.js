// The plugin __NAME__, a trigger: says when a pipeline is due, and what is to be started then.
//
// Throw a failure of the contract where something is wrong: {tag: "failed", val: "why"}. Anything else that is thrown
// ends the call. This is QuickJS: there is no TextDecoder, no URL, no fetch, no timers.

import description from "./manifest.js";

export const manifest = {
  describe: () => JSON.stringify(description),
};

export const trigger = {
  // The first `count` instants after `after`. Depends on what it is given and on nothing else.
  upcoming(subscription, after, count) {
    // The host has checked the params against manifest.json, and filled in what was left out.
    const every = JSON.parse(subscription.params).minutes * 60_000;
    const first = Math.floor(after / every) + 1;
    return Array.from({ length: count }, (_, n) => (first + n) * every).map((at) => ({ at, local: show(at) }));
  },

  // Called at each of these instants. A poller would look at the world here, and start nothing or many.
  wake(subscription, at) {
    const start = {
      params: "{}",
      attributes: [{ name: "INSTANT", value: show(at) }],
      summary: `due at ${show(at)}`,
      key: null,
      untrusted: false,
      extra: [],
    };
    return { actions: [{ tag: "start", val: start }], again: null, note: null };
  },
};

const show = (at) => new Date(at).toISOString().replace(".000Z", "Z");
