// What a browser adds to pages that work without it.

document.documentElement.classList.add("scripted");

// Times are written in UTC. Here they are put into the viewer's zone; the exact UTC stays in the title.
const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
for (const time of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(time.dateTime);
  if (!Number.isNaN(moment.getTime())) {
    time.textContent = zone.format(moment);
  }
}

// The code of a sign-in link stands behind #, which no server sees. It leaves the address at once.
const code = document.querySelector("input[name=code]");
function takeCode() {
  if (code && location.hash.length > 1) {
    code.value = location.hash.slice(1);
    history.replaceState(null, "", location.pathname + location.search);
    code.form.querySelector("button").focus();
  }
}
takeCode();
addEventListener("hashchange", takeCode);

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    const said = document.getElementById("said");
    try {
      await navigator.clipboard.writeText(source.textContent);
      said.textContent = "Copied.";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(source);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      said.textContent = "It is selected: copy it with the keyboard.";
    }
  });
}

// A page that is left may be kept by the browser for its back button. What is secret is taken out before.
addEventListener("pagehide", () => {
  for (const secret of document.querySelectorAll("[data-secret]")) {
    secret.textContent = "This was shown once.";
  }
});

// A choice narrows a list at once.
for (const choice of document.querySelectorAll("form[data-at-once] select")) {
  choice.addEventListener("change", () => choice.form.requestSubmit());
}

// The date belongs to one of the choices: whoever types one means it.
const date = document.querySelector("input[name=date]");
date?.addEventListener("input", () => {
  document.querySelector("input[name=expiry][value=date]").checked = true;
});

// What is wrong is where the cursor goes.
document.querySelector("[aria-invalid=true]")?.focus();
