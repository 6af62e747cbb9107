// Says before anything is drawn that there is script: what only works with it is hidden otherwise.
document.documentElement.classList.add("js");
