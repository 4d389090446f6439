// Bootstrap less what no template and no script of ours names: `make css`.
module.exports = {
  content: ["../templates/**/*.html", "../*/templatetags/*.py", "../accounts/*.py", "../site/static/js/*.js"],
  css: ["../site/static/vendor/bootstrap-5.3.9/bootstrap.min.css"],
  variables: false,
  // Whole words of a class: purgecss would take "alert-" from "alert-{{ level }}" and find nothing.
  safelist: { standard: [/^alert-/, /^data-bs-theme/] },
};
