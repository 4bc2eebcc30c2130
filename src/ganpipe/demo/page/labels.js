// The twelve labels of CMP's facades, in its order, in the colours of pix2pix's label images: the most frequent pixel of
// each in flat areas, for JPEG has moved some of them by a level.
export const LABELS = [
  ["background", [0, 0, 222]],
  ["facade", [0, 48, 255]],
  ["window", [0, 128, 255]],
  ["door", [1, 207, 255]],
  ["cornice", [32, 255, 224]],
  ["sill", [112, 254, 142]],
  ["balcony", [192, 255, 63]],
  ["blind", [255, 240, 1]],
  ["deco", [255, 159, 0]],
  ["molding", [255, 80, 0]],
  ["pillar", [254, 0, 0]],
  ["shop", [174, 0, 1]],
];

// RGBA bytes to labels, each pixel to that of the nearest colour.
export function read(rgba) {
  const known = new Map();
  const labels = new Uint8Array(rgba.length / 4);
  for (let at = 0; at < labels.length; at++) {
    const [r, g, b] = [rgba[4 * at], rgba[4 * at + 1], rgba[4 * at + 2]];
    const key = (r << 16) | (g << 8) | b;
    if (!known.has(key)) known.set(key, nearest(r, g, b));
    labels[at] = known.get(key);
  }
  return labels;
}

function nearest(r, g, b) {
  const apart = LABELS.map(([, [x, y, z]]) => (r - x) ** 2 + (g - y) ** 2 + (b - z) ** 2);
  return apart.indexOf(Math.min(...apart));
}

// Labels to the RGBA bytes of an ImageData.
export function write(labels, rgba) {
  for (let at = 0; at < labels.length; at++) {
    rgba.set(LABELS[labels[at]][1], 4 * at);
    rgba[4 * at + 3] = 255;
  }
}
