// Differences of two texts, line by line.

/** Lines around a change that are shown as well. */
const AROUND = 3;
/** Above this product of lines only what differs as a whole is told. */
const MOST = 4_000_000;

/** Lines as `{kind, text, old, fresh}`; kinds are `same`, `gone` and `new`. */
export function compare(before, after) {
  const [old, fresh] = [before.split("\n"), after.split("\n")];
  let from = 0;
  while (from < old.length && from < fresh.length && old[from] === fresh[from]) from += 1;
  let tail = 0;
  while (tail < old.length - from && tail < fresh.length - from && old.at(-1 - tail) === fresh.at(-1 - tail)) tail += 1;
  const head = old.slice(0, from).map((text, at) => ({ kind: "same", text, old: at + 1, fresh: at + 1 }));
  const middle = between(old.slice(from, old.length - tail), fresh.slice(from, fresh.length - tail), from);
  const end = old.slice(old.length - tail).map((text, at) => ({ kind: "same", text, old: old.length - tail + at + 1, fresh: fresh.length - tail + at + 1 }));
  return [...head, ...middle, ...end];
}

function between(old, fresh, offset) {
  const gone = (at) => ({ kind: "gone", text: old[at], old: offset + at + 1, fresh: null });
  const added = (at) => ({ kind: "new", text: fresh[at], old: null, fresh: offset + at + 1 });
  if (old.length * fresh.length > MOST) return [...old.map((_, at) => gone(at)), ...fresh.map((_, at) => added(at))];
  const longest = lengths(old, fresh);
  const lines = [];
  let [one, two] = [0, 0];
  while (one < old.length || two < fresh.length) {
    if (one < old.length && two < fresh.length && old[one] === fresh[two]) {
      lines.push({ kind: "same", text: old[one], old: offset + one + 1, fresh: offset + two + 1 });
      one += 1;
      two += 1;
    } else if (two >= fresh.length || (one < old.length && longest[one + 1][two] >= longest[one][two + 1])) {
      lines.push(gone(one));
      one += 1;
    } else {
      lines.push(added(two));
      two += 1;
    }
  }
  return lines;
}

/** How many lines are common from each pair of places on. */
function lengths(old, fresh) {
  const table = Array.from({ length: old.length + 1 }, () => new Uint32Array(fresh.length + 1));
  for (let one = old.length - 1; one >= 0; one -= 1) {
    for (let two = fresh.length - 1; two >= 0; two -= 1) {
      table[one][two] = old[one] === fresh[two] ? table[one + 1][two + 1] + 1 : Math.max(table[one + 1][two], table[one][two + 1]);
    }
  }
  return table;
}

/** The lines that changed and some around each; what is left out between them is one `null`. */
export function shortened(lines) {
  const shown = new Set();
  for (const [at, line] of lines.entries()) {
    if (line.kind === "same") continue;
    for (let near = at - AROUND; near <= at + AROUND; near += 1) shown.add(near);
  }
  const found = [];
  let skipped = false;
  for (const [at, line] of lines.entries()) {
    if (shown.has(at)) found.push(line);
    else if (!skipped) found.push(null);
    skipped = !shown.has(at);
  }
  return found;
}
