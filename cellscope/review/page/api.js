// What is asked of the server. The page's own address holds the token.
const base = new URL(".", location.href).pathname;
export const address = (path) => base + path;

export async function ask(path, body) {
  const options = body ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {};
  let answer;
  try { answer = await fetch(address(path), options); } catch { throw new Error("the server does not answer; what you did before is saved. Run cellscope review again"); }
  const found = await answer.json().catch(() => ({ error: `the server said ${answer.status}` }));
  if (!answer.ok) throw Object.assign(new Error(found.error), { stale: Boolean(found.stale) });
  return found;
}
