// Keys, one after the other: what is typed while an image is being opened is for what will be shown.
export class Keys {
  // `classes()` gives the names, `give(name)` makes it the class of what is selected.
  constructor({ classes, give, say, patience = 700 }) {
    Object.assign(this, { classes, give, say, patience });
    this.last = Promise.resolve();
    this.digits = "";
  }

  queue(act) {
    this.last = this.last.then(act).catch((error) => this.say(error.message, true));
    return this.last;
  }

  // A digit of a class's name, or of its number; where more may follow, it waits.
  digit(key) {
    clearTimeout(this.waiting);
    this.digits += key;
    const names = this.classes(), named = names.filter((name) => name.startsWith(this.digits));
    this.numbered = names.every((name) => !/^\d/.test(name));
    if (this.numbered || named.length === 1) { this.settle(); return; }
    this.say(`class ${this.digits} ...`);
    this.waiting = setTimeout(() => this.settle(), this.patience);
  }

  // Gives what was typed so far, before anything else is done; tells whether there was something.
  settle() {
    if (!this.digits) return false;
    clearTimeout(this.waiting);
    const name = this.numbered ? this.classes()[Number(this.digits) - 1] : this.digits;
    this.digits = "";
    if (this.classes().includes(name)) this.queue(() => this.give(name)); else this.say(`There is no class ${name ?? ""}.`, true);
    return true;
  }
}
