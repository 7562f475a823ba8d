// Numbers, sizes and times, as people read them.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Bytes with three digits at most: 512 MiB, 1.5 GiB. */
export function bytes(value) {
  if (value === null || value === undefined) return "unknown";
  let step = 0;
  let number = value;
  while (number >= 1023.5 && step < UNITS.length - 1) {
    number /= 1024;
    step += 1;
  }
  const digits = step === 0 || number >= 100 || Number.isInteger(number) ? 0 : 1;
  return `${number.toFixed(digits)} ${UNITS[step]}`;
}

export function cores(value) {
  return `${value.toFixed(value < 10 && !Number.isInteger(value) ? 2 : 0)} ${value === 1 ? "core" : "cores"}`;
}

export const number = (value) => new Intl.NumberFormat().format(value);

/** A span of seconds in one or two units: 2 d 4 h, 41 min, 30 s. */
export function span(seconds) {
  const left = Math.max(0, Math.round(seconds));
  if (left < 60) return `${left} s`;
  const minutes = Math.floor(left / 60);
  if (minutes < 60) return minutes < 5 && left % 60 ? `${minutes} min ${left % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 && days < 7 ? `${days} d ${hours % 24} h` : `${days} d`;
}

const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export const date = (time) => day.format(time * 1000);
export const dateTime = (time) => moment.format(time * 1000);

/** A span in one unit: 41 min, 7 h, 3 d. */
export function about(seconds) {
  if (seconds < 3570) return seconds < 59.5 ? span(seconds) : `${Math.round(seconds / 60)} min`;
  return seconds < 48 * 3600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}

/** How long ago, or how long until. */
export function relative(time) {
  const seconds = Date.now() / 1000 - time;
  if (Math.abs(seconds) < 5) return "now";
  return seconds > 0 ? `${about(seconds)} ago` : `in ${about(-seconds)}`;
}

/** A `time` element: relative, with the exact time on hover; `none` for null. */
export function when(time, none = "never") {
  if (time === null || time === undefined) return none;
  const element = document.createElement("time");
  element.dateTime = new Date(time * 1000).toISOString();
  element.title = dateTime(time);
  element.textContent = relative(time);
  return element;
}
