(function () {
  'use strict';
  var d = document, source = d.getElementById('acklab-state'), slider = d.getElementById('slider');
  if (!source || !slider) return;
  var h = JSON.parse(source.textContent), cells = [], step = -1;
  var all = function (selector) { return Array.prototype.slice.call(d.querySelectorAll(selector)); };
  var digits = function (n) { return n < 0 ? '–' : String(n).replace(/\B(?=(\d{3})+$)/g, ','); };
  var seconds = function (us) {
    var ms = Math.floor(us / 1000);
    return digits(Math.floor(ms / 1000)) + '.' + ('00' + ms % 1000).slice(-3) + ' s';
  };
  var set = function (node, text) { if (node.textContent !== text) node.textContent = text; };
  var numbers = all('[data-n]'), words = all('[data-w]'), partitions = all('[data-p]'), events = h.events;
  var rules = all('.now');
  var instant = d.getElementById('instant'), last = d.getElementById('last');

  // The last position whose instant is not after `at`.
  function upTo(count, instantOf, at) {
    var low = -1, high = count;
    while (high - low > 1) {
      var middle = (low + high) >> 1;
      if (instantOf(middle) <= at) low = middle; else high = middle;
    }
    return low;
  }
  function go(to) {
    if (step < 0 || to < step) { cells = h.first.slice(); step = 0; }
    for (; step < to; step++) {
      var change = h.changes[step];
      for (var i = 0; i < change.length; i += 2) cells[change[i]] = change[i + 1];
    }
  }
  function word(cell) { var w = h.words[cells[cell]]; return w === undefined ? '–' : w; }
  function partition(body) {
    var most = +body.getAttribute('data-most'), rows = body.rows, leader, end = -1, i;
    leader = rows[0].querySelectorAll('[data-n]')[0];
    var leads = leader ? cells[leader.getAttribute('data-n')] : -1;
    for (i = 0; i < rows.length; i++) {
      if (+rows[i].querySelector('[data-b]').getAttribute('data-b') === leads) {
        end = cells[rows[i].querySelector('[data-leo]').getAttribute('data-leo')];
      }
    }
    for (i = 0; i < rows.length; i++) {
      var row = rows[i], leo = row.querySelector('[data-leo]'), hw = row.querySelector('[data-hw]');
      var n = cells[leo.getAttribute('data-leo')], m = cells[hw.getAttribute('data-hw')];
      set(leo, digits(n)); set(hw, digits(m));
      leo.className = end >= 0 && n !== end ? 'n differs' : 'n';
      row.querySelector('.bar i').style.width = Math.max(0, n) / most * 100 + '%';
      row.querySelector('.bar b').style.width = Math.max(0, m) / most * 100 + '%';
      var is = +row.querySelector('[data-b]').getAttribute('data-b') === leads;
      row.className = is ? 'leads' : '';
    }
  }
  function show() {
    // The last step of the slider may fall short of the end.
    var at = slider.max - slider.value < slider.step ? +slider.max : +slider.value;
    var event = upTo(events.length, function (i) { return events[i][0]; }, at);
    go(Math.max(0, upTo(h.at.length, function (i) { return h.at[i]; }, at)));
    numbers.forEach(function (node) { set(node, digits(cells[node.getAttribute('data-n')])); });
    words.forEach(function (node) {
      var text = word(node.getAttribute('data-w')), before = node.getAttribute('data-before');
      var quiet = node.getAttribute('data-quiet');
      if (quiet !== null) node.hidden = text === quiet || text === '–';
      set(node, (before || '') + text);
    });
    partitions.forEach(partition);
    rules.forEach(function (rule) { rule.style.left = at / slider.max * 100 + '%'; });
    var happened = event < 0 ? '' : seconds(events[event][0]) + ': ' + events[event][1];
    set(instant, seconds(at));
    set(last, happened);
    slider.setAttribute('aria-valuetext', seconds(at) + (happened && '; last, at ' + happened));
  }
  slider.disabled = false;
  slider.addEventListener('input', show);
  all('[data-at]').forEach(function (link) {
    link.addEventListener('click', function (event) {
      event.preventDefault();
      slider.value = Math.min(+slider.max, Math.ceil(link.getAttribute('data-at') / slider.step) * slider.step);
      show();
      slider.focus({ preventScroll: true });
    });
  });
  show();
})();
