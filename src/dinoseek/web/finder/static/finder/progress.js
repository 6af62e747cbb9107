// How indexing goes is asked for by htmx; here the end of it is said to those who do not see it.

let before = document.getElementById("job")?.dataset.state;

document.addEventListener("htmx:afterSettle", () => {
  const job = document.getElementById("job");
  if (!job || job.dataset.state === before) return;
  before = job.dataset.state;
  document.getElementById("live").textContent = job.querySelector("[data-status]")?.textContent || "";
  document.querySelector(".source button").disabled = before === "running";
});
