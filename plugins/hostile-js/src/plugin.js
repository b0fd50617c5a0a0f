// A trigger that misbehaves as its param `how` says, for the tests of the host: what a runtime with a collector of its
// own does when it is cut off.

import description from "./manifest.js";

export const manifest = {
  describe: () => JSON.stringify(description),
};

export const trigger = {
  upcoming(subscription, after, count) {
    misbehave(JSON.parse(subscription.params).how);
    return Array.from({ length: count }, (_, n) => ({ at: after + (n + 1) * 1000, local: `instant ${n + 1}` }));
  },
  wake: () => ({ actions: [], again: null, note: null }),
};

function misbehave(how) {
  const hoard = [];
  if (how === "throw") throw new Error("the sky falls");
  while (how === "spin");
  while (how === "hoard") hoard.push(new Uint8Array(1 << 20).fill(1));
}
