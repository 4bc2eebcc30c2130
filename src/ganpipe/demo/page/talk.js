// Questions to the server, and what the page says of them.

const status = document.getElementById("status");

export function say(sentence, wrong = false) {
  status.textContent = sentence;
  status.classList.toggle("wrong", wrong);
}

// The answer to a request; asked again while the server is busy or not ready. Throws an Error with one sentence.
export async function ask(path, options = {}) {
  for (let waited = false; ; waited = true) {
    let answer;
    try {
      answer = await fetch(path, options);
    } catch {
      throw new Error("The server does not answer: is it still running?");
    }
    if (answer.ok) {
      if (waited) say("");
      return answer;
    }
    const sentence = (await answer.json().catch(() => ({}))).error ?? `The server answers ${answer.status}.`;
    if (answer.status !== 503) throw new Error(sentence);
    say(sentence);
    await pause(1000 * Number(answer.headers.get("retry-after") ?? 2));
  }
}

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

export function address(path, query) {
  return `${path}?${new URLSearchParams(query)}`;
}

export function askFor(path, question) {
  const headers = { "content-type": "application/json" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(question) });
}

export async function bitmap(answer) {
  return createImageBitmap(await answer.blob());
}

// A function of which only one call is under way: of those that come meanwhile only the last one follows.
export function latest(work) {
  let waiting = null;
  let busy = false;
  return async function call(...given) {
    waiting = given;
    if (busy) return;
    busy = true;
    while (waiting) {
      const now = waiting;
      waiting = null;
      try {
        await work(...now);
      } catch (error) {
        say(error.message, true);
      }
    }
    busy = false;
  };
}

// A file for the person to keep.
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// One tile of a picture of equal ones in a row or grid, on a canvas.
export function tile(canvas, picture, side, columns, place) {
  canvas.width = canvas.height = side;
  const [left, top] = [(place % columns) * side, Math.floor(place / columns) * side];
  canvas.getContext("2d").drawImage(picture, left, top, side, side, 0, 0, side, side);
}
