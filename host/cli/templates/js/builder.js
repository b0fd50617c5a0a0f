// The plugin __NAME__, a builder: makes pipeline documents of an author's own files.
//
// Throw a failure of the contract where something is wrong: {tag: "failed", val: "why"}. Anything else that is thrown
// ends the call. This is QuickJS: there is no TextDecoder, no URL, no fetch, no timers.

import files from "hostler:builder/files@1.0.0";
import description from "./manifest.js";
import { decode } from "./text.js";

export const manifest = {
  describe: () => JSON.stringify(description),
};

export const builder = {
  // Depends on files and params and on nothing else.
  build({ entry }) {
    let text;
    try {
      text = decode(files.read(entry));
    } catch (refusal) {
      throw problem(entry, `cannot be read: ${JSON.stringify(refusal.payload ?? refusal)}`);
    }
    const tasks = {};
    const origins = [];
    let before = null;
    text.split("\n").forEach((line, at) => {
      if (line.trim() === "") return;
      const name = `step-${origins.length + 1}`;
      tasks[name] = { process: { script: line } };
      if (before) tasks[name].depends_on = [before];
      // The host shows what is wrong with a task in the line that it came from.
      origins.push({ pointer: `/tasks/${name}`, file: entry, line: at + 1, column: 1 });
      before = name;
    });
    if (!before) throw problem(entry, "holds no command");
    const id = entry.split("/").pop().replace(/\.steps$/, "");
    return { documents: [{ kind: "pipeline", body: JSON.stringify({ id, tasks }), origins }], notes: [] };
  },
};

const problem = (at, message) => ({ tag: "invalid", val: [{ at, line: null, column: null, message, hint: null }] });
