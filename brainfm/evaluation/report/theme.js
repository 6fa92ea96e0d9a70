// Without this script the page follows the system's light or dark setting; with it a reader may choose.
(function () {
  var root = document.documentElement, button = document.getElementById("theme"), key = "brainfm-theme";
  function dark() {
    var chosen = root.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }
  function name() { button.textContent = dark() ? "Light" : "Dark"; }
  try { var kept = localStorage.getItem(key); if (kept) root.dataset.theme = kept; } catch (error) { /* private */ }
  button.hidden = false;
  name();
  button.addEventListener("click", function () {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem(key, root.dataset.theme); } catch (error) { /* private */ }
    name();
  });
  // Closed folds would be missing on paper.
  addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (d) { d.open = true; });
  });
})();
