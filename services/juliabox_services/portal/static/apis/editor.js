// The editor of a source, with faults at their lines.
import { h, icon } from "../dom.js";

const { CodeMirror } = window;
const KEYS = {
  // within the editor Tab indents; Esc is the way out for whoever has no pointer
  Tab: (editor) => (editor.somethingSelected() ? editor.indentSelection("add") : editor.replaceSelection("    ", "end")),
  "Shift-Tab": "indentLess",
  "Ctrl-/": "toggleComment",
  "Cmd-/": "toggleComment",
};

export class Editor {
  /** Take the place of a text area; `leave` gets the focus on Esc. */
  constructor(area, leave) {
    this.area = area;
    this.editor = CodeMirror.fromTextArea(area, {
      mode: "julia",
      lineNumbers: true,
      lineWrapping: true,
      indentUnit: 4,
      matchBrackets: true,
      autoCloseBrackets: true,
      screenReaderLabel: "Julia source",
      extraKeys: { ...KEYS, Esc: () => leave.focus() },
    });
    this.marks = [];
    this.editor.on("change", () => this.area.dispatchEvent(new Event("edited")));
  }

  get value() {
    return this.editor.getValue();
  }

  set value(text) {
    this.clear();
    if (text !== this.value) this.editor.setValue(text);
  }

  /** Measure again: what is not seen has no size. */
  refresh() {
    this.editor.refresh();
  }

  clear() {
    for (const mark of this.marks) mark();
    this.marks = [];
  }

  /** Mark the lines of a fault, the innermost first, and tell it below the first. */
  tell(message, frames) {
    this.clear();
    const last = this.editor.lineCount();
    const lines = frames.map((frame) => Math.min(Math.max(1, frame.line), last) - 1);
    for (const line of new Set(lines)) {
      const handle = this.editor.addLineClass(line, "background", "jb-bad-line");
      this.marks.push(() => this.editor.removeLineClass(handle, "background", "jb-bad-line"));
    }
    if (!lines.length) return;
    const note = h("p", { class: "jb-line-note" }, icon("exclamation-triangle"), h("span", {}, message));
    const widget = this.editor.addLineWidget(lines[0], note);
    this.marks.push(() => widget.clear());
    this.show(lines[0] + 1);
  }

  /** Put the cursor on a line. */
  show(line) {
    this.editor.setCursor(line - 1, 0);
    this.editor.focus();
    this.editor.scrollIntoView(null, 80);
  }
}
