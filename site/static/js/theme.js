// Loaded in the head and not deferred: the theme is set before the first paint.
(() => {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  const read = () => {
    try {
      return localStorage.getItem("theme") || "auto";
    } catch {
      return "auto"; // Storage may be forbidden.
    }
  };

  const write = (choice) => {
    try {
      localStorage.setItem("theme", choice);
    } catch {
      // The choice lasts until the page is left.
    }
  };

  const apply = (choice) => {
    root.dataset.bsTheme = choice === "auto" ? (dark.matches ? "dark" : "light") : choice;
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      const chosen = button.dataset.themeChoice === choice;
      button.classList.toggle("is-chosen", chosen);
      button.setAttribute("aria-pressed", String(chosen));
    }
  };

  root.classList.add("has-script");
  apply(read());
  dark.addEventListener("change", () => apply(read()));

  document.addEventListener("DOMContentLoaded", () => {
    for (const menu of document.querySelectorAll("[data-theme-menu]")) menu.hidden = false;
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.addEventListener("click", () => {
        write(button.dataset.themeChoice);
        apply(button.dataset.themeChoice);
        button.closest("details").open = false;
      });
    }
    apply(read());
  });
})();
