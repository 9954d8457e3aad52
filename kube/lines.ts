/** Lines of a byte stream, as watches send them: pure but for what it reads from. */
const lineBytesMax = 32 * 1024 * 1024;

/** Throws RangeError for a line that never ends. What follows the last line feed is no line. */
export async function* lines(stream: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  for await (const chunk of stream) {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      held.push(chunk.subarray(from, end));
      yield Buffer.concat(held).toString();
      held = [];
      heldBytes = 0;
      from = end + 1;
    }
    if (from === chunk.length) continue;
    held.push(chunk.subarray(from));
    heldBytes += chunk.length - from;
    if (heldBytes > lineBytesMax) throw new RangeError(`a line of more than ${lineBytesMax} bytes`);
  }
}
