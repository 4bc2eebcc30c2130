// The cursor of the keyboard, and a rectangle that is being drawn: in black and white, to be seen on every label.

export function mark(context, { cursor, corner, to, size, cross }) {
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  for (const [colour, dash] of [["#000", []], ["#fff", [2, 2]]]) {
    context.strokeStyle = colour;
    context.setLineDash(dash);
    if (corner) rectangle(context, corner.map(Math.floor), to.map(Math.floor));
    if (cursor) place(context, cursor.map(Math.floor), size, cross);
  }
}

function rectangle(context, [left, top], [x, y]) {
  context.strokeRect(Math.min(left, x) + 0.5, Math.min(top, y) + 0.5, Math.abs(x - left), Math.abs(y - top));
}

function place(context, [x, y], size, cross) {
  context.beginPath();
  if (cross) {
    context.moveTo(x - 5.5, y + 0.5);
    context.lineTo(x + 6.5, y + 0.5);
    context.moveTo(x + 0.5, y - 5.5);
    context.lineTo(x + 0.5, y + 6.5);
  } else context.arc(x + 0.5, y + 0.5, Math.max(2, size / 2), 0, 7);
  context.stroke();
}
