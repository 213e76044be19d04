// Reads a curl command: its request and headers. No package for this is small: they bring the grammar of a whole shell.

export interface CurlRequest {
  /** A request line such as `GET https://shop.example/cart`. */
  request: string;
  headers: string[];
}

/** The words of a command line for a POSIX shell; also `$'…'`, which browsers write. */
export function words(command: string): string[] {
  const found: string[] = [];
  let word: string | undefined;
  for (let at = 0; at < command.length; at += 1) {
    const letter = command[at]!;
    if (/\s/.test(letter)) {
      if (word !== undefined) found.push(word);
      word = undefined;
    } else if (letter === "\\") {
      at += 1;
      const next = command.startsWith("\r\n", at) ? ((at += 1), "\n") : command[at];
      if (next !== undefined && next !== "\n") word = (word ?? "") + next;
    } else if (letter === "'" || letter === '"' || command.startsWith("$'", at)) {
      const isEscaped = letter !== "'";
      const quote = letter === '"' ? '"' : "'";
      if (letter === "$") at += 1;
      word ??= "";
      for (at += 1; at < command.length && command[at] !== quote; at += 1) {
        if (isEscaped && command[at] === "\\") {
          at += 1;
          const next = command[at] ?? "";
          if (letter === "$") word += { n: "\n", r: "\r", t: "\t" }[next] ?? next;
          else word += /["\\$`]/.test(next) ? next : next === "\n" ? "" : `\\${next}`;
        } else {
          word += command[at];
        }
      }
    } else {
      word = (word ?? "") + letter;
    }
  }
  if (word !== undefined) found.push(word);
  return found;
}

/** Options of curl whose next word is a value that does not change the decision. */
const IGNORED = new Set([
  "-o", "--output", "-w", "--write-out", "-m", "--max-time", "--connect-timeout", "-x", "--proxy", "--cacert", "-E",
  "--cert", "--key", "--resolve", "--connect-to", "-u", "--user", "-T", "--upload-file", "-F", "--form", "--retry", "-c",
  "--cookie-jar", "-D", "--dump-header", "--interface", "-y", "-Y", "-z", "-C",
]);
const DATA = new Set(["-d", "--data", "--data-raw", "--data-binary", "--data-ascii", "--data-urlencode", "--json"]);
const HEADERS: Record<string, string> = { "-A": "user-agent", "--user-agent": "user-agent", "-b": "cookie", "--cookie": "cookie", "-e": "referer", "--referer": "referer" };
/** Options of one letter that take a value, which may follow without a space. */
const SHORT = /^-([HXdAbeowmxuTFE])(.+)$/s;

/** The request of a curl command; `undefined` if the text is not one. */
export function readCurl(text: string): CurlRequest | undefined {
  const list = words(text.trim());
  if (list[0] !== "curl") return undefined;
  let method: string | undefined;
  let url = "";
  let hasData = false;
  let isGet = false;
  const headers: string[] = [];
  const query: string[] = [];
  for (let at = 1; at < list.length; at += 1) {
    let option = list[at]!;
    let value: string | undefined;
    const short = SHORT.exec(option);
    const long = /^(--[a-z-]+)=(.*)$/s.exec(option);
    if (short) [option, value] = [`-${short[1]}`, short[2]];
    else if (long) [option, value] = [long[1]!, long[2]];
    const next = () => value ?? list[(at += 1)] ?? "";
    if (option === "-H" || option === "--header") headers.push(next());
    else if (option === "-X" || option === "--request") method = next();
    else if (option === "--url") url = next();
    else if (option === "-I" || option === "--head") method ??= "HEAD";
    else if (option === "-G" || option === "--get") isGet = true;
    else if (DATA.has(option)) {
      hasData = true;
      query.push(next());
    } else if (HEADERS[option] !== undefined) headers.push(`${HEADERS[option]}: ${next()}`);
    else if (IGNORED.has(option)) next();
    else if (!option.startsWith("-")) url ||= option;
  }
  if (isGet && query.length > 0) url += (url.includes("?") ? "&" : "?") + query.join("&");
  method ??= hasData && !isGet ? "POST" : "GET";
  if (!url.includes("://")) url = `http://${url}`;
  return { request: `${method} ${url}`, headers };
}
