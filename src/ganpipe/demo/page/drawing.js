// A drawing: a label for each pixel, without any blending between two, and the drawings before it.

const KEPT = 60; // of them

export class Drawing {
  constructor(side) {
    this.side = side;
    this.labels = new Uint8Array(side * side);
    this.before = [];
  }

  // To come back to by `undo`.
  keep() {
    this.before.push(this.labels.slice());
    if (this.before.length > KEPT) this.before.shift();
  }

  undo() {
    if (!this.before.length) return false;
    this.labels = this.before.pop();
    return true;
  }

  replace(labels) {
    this.keep();
    this.labels = labels;
  }

  // A round dot at each pixel of the way.
  line([x0, y0], [x1, y1], size, label) {
    const steps = Math.max(1, Math.ceil(Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0))));
    for (let step = 0; step <= steps; step++) {
      this.dot(x0 + ((x1 - x0) * step) / steps, y0 + ((y1 - y0) * step) / steps, size, label);
    }
  }

  dot(x, y, size, label) {
    const radius = size / 2;
    for (let row = Math.ceil(y - radius); row <= y + radius; row++) {
      const half = Math.sqrt(Math.max(0, radius ** 2 - (row - y) ** 2));
      this.run(row, x - half, x + half, label);
    }
    this.run(Math.round(y), x, x, label); // even the smallest one is a pixel
  }

  rectangle([x0, y0], [x1, y1], label) {
    for (let row = Math.floor(Math.min(y0, y1)); row <= Math.max(y0, y1); row++) {
      this.run(row, Math.floor(Math.min(x0, x1)), Math.floor(Math.max(x0, x1)), label);
    }
  }

  run(row, from, to, label) {
    if (row < 0 || row >= this.side) return;
    const [start, end] = [Math.max(0, Math.round(from)), Math.min(this.side - 1, Math.round(to))];
    if (end >= start) this.labels.fill(label, row * this.side + start, row * this.side + end + 1);
  }
}
