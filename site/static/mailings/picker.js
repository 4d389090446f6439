/* Choose clients by searching: the chosen ones are kept as keys in one hidden input. */

(() => {
  const WAIT = 250;

  function item(text, onClick, label) {
    const li = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    if (label) button.setAttribute("aria-label", label);
    button.addEventListener("click", onClick);
    li.append(button);
    return li;
  }

  function note(text) {
    const li = document.createElement("li");
    li.textContent = text;
    return li;
  }

  function setUp(picker) {
    const input = picker.querySelector("[data-picker-keys]");
    const search = picker.querySelector("[data-picker-search]");
    const chosen = picker.querySelector("[data-picker-chosen]");
    const found = picker.querySelector("[data-picker-found]");
    const words = picker.dataset;
    let timer;
    let asked = 0;

    const keys = () => [...chosen.children].map((li) => li.dataset.key);
    const store = () => {
      input.value = keys().join(",");
      input.dispatchEvent(new Event("change", { bubbles: true }));
    };

    function wireChip(li) {
      li.querySelector("button").addEventListener("click", () => {
        li.remove();
        store();
        search.focus();
      });
    }

    function add(client) {
      if (keys().includes(String(client.id))) return;
      const li = document.createElement("li");
      li.dataset.key = client.id;
      li.title = client.email;
      li.append(client.name);
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "×";
      button.setAttribute("aria-label", `${words.removeLabel}: ${client.name}`);
      li.append(button);
      chosen.append(li);
      wireChip(li);
      store();
    }

    function show(answer) {
      const taken = new Set(keys());
      const fresh = answer.clients.filter((client) => !taken.has(String(client.id)));
      found.replaceChildren(
        ...fresh.map((client) =>
          item(`${client.name} · ${client.email}`, (event) => {
            const li = event.currentTarget.parentElement;
            const next = li.nextElementSibling?.querySelector("button") || search;
            add(client);
            li.remove();
            next.focus();
          }),
        ),
      );
      if (!fresh.length) found.append(note(words.noneLabel));
      if (answer.more) found.append(note(words.moreLabel));
      found.hidden = false;
    }

    async function ask() {
      const number = ++asked;
      const url = new URL(words.url, location.href);
      url.searchParams.set("q", search.value);
      const response = await fetch(url, { headers: { "X-Requested-With": "XMLHttpRequest" } });
      // A later question may have been answered first.
      if (response.ok && number === asked) show(await response.json());
    }

    search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(ask, WAIT);
    });
    search.addEventListener("focus", () => found.hidden && ask());
    search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault();
    });
    picker.addEventListener("keydown", (event) => {
      if (event.key === "Escape") found.hidden = true;
    });
    document.addEventListener("click", (event) => {
      // A click on a result removes it before it bubbles up to here.
      if (event.target.isConnected && !picker.contains(event.target)) found.hidden = true;
    });
    [...chosen.children].forEach(wireChip);
  }

  function setUpAudience() {
    const everybody = document.querySelector("input[name=all_clients]");
    if (!everybody) return;
    const others = ["lists", "clients"]
      .map((name) => document.querySelector(`[data-contentpath="${name}"]`)?.closest(".w-panel__wrapper"))
      .filter(Boolean);
    const update = () => others.forEach((field) => (field.hidden = everybody.checked));
    everybody.addEventListener("change", update);
    update();
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-client-picker]").forEach(setUp);
    setUpAudience();
  });
})();
