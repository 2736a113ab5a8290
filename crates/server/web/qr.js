// A ticket's QR code as a drawing. Which squares are dark comes from the box office; here they become one
// path, sharp at every size and on paper.

const SVG = "http://www.w3.org/2000/svg";
/** Squares of quiet around the code, as its standard asks for (ISO/IEC 18004, section 5.3.8). */
const QUIET = 4;

/**
 * @param {{size: number, modules: string}} qr `modules` is base64 of size × size bits, row by row, the most
 *   significant first, 1 for dark
 * @param {string} label for those who listen
 */
export function qrCode({ size, modules }, label) {
  const bits = Uint8Array.from(atob(modules), (byte) => byte.charCodeAt(0));
  const dark = (/** @type {number} */ at) => ((bits[at >> 3] ?? 0) >> (7 - (at & 7))) & 1;
  let path = "";
  for (let row = 0; row < size; row += 1) {
    for (let from = 0; from < size; from += 1) {
      let end = from;
      while (end < size && dark(row * size + end)) end += 1;
      if (end > from) path += `M${from} ${row}h${end - from}v1h-${end - from}z`;
      from = end;
    }
  }
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `${-QUIET} ${-QUIET} ${size + 2 * QUIET} ${size + 2 * QUIET}`);
  svg.setAttribute("class", "qr");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  svg.setAttribute("shape-rendering", "crispEdges");
  const drawn = document.createElementNS(SVG, "path");
  drawn.setAttribute("d", path);
  svg.append(drawn);
  return svg;
}
