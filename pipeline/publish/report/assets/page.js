"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const drawn = [];
  let forPrint = false;

  const css = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const color = (number) => css(`c${number % 8}`);
  const whole = (value) => Math.round(value).toLocaleString("en");
  const percent = (value) => `${Number((value * 100).toPrecision(3))}%`;
  const shortened = (value) => {
    for (const [size, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
      if (Math.abs(value) >= size) return `${Number((value / size).toPrecision(3))} ${unit}`;
    }
    return `${Number(value.toPrecision(3))} `;
  };
  const bytes = (value) => `${shortened(value)}B`;
  const bytesPerSecond = (value) => `${shortened(value)}B/s`;
  const rowsPerSecond = (value) => `${shortened(value)}${value < 1e3 ? "" : " "}rows/s`;
  const seconds = (value) => `${Number(value.toFixed(2))} s`;
  const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
  const bare = (name) => name.replace(/^@/, "");
  const escaped = echarts.format.encodeHTML;

  const axis = ({ axisLabel, ...more }) => ({
    axisLine: { lineStyle: { color: css("line") } },
    axisTick: { show: false },
    splitLine: { lineStyle: { color: css("line") } },
    axisLabel: { color: css("quiet"), hideOverlap: true, ...axisLabel },
    ...more,
  });
  const base = ({ tooltip, ...more }) => ({
    animation: false,
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: css("text") },
    tooltip: {
      confine: true, backgroundColor: css("raised"), borderColor: css("line"), textStyle: { color: css("text") }, ...tooltip,
    },
    ...more,
  });
  const title = (text, left, top) => ({ text, left, top, padding: 0, textStyle: { color: css("quiet"), fontSize: 12, fontWeight: "normal" } });

  const charts = {
    flow(width) {
      if (!data.flow.length) return null;
      const names = [...new Set(data.flow.flatMap(([from, to]) => [from, to]))];
      const regions = names.filter((name) => name.startsWith("@"));
      const tint = (name) =>
        name.startsWith("@") ? color(regions.indexOf(name)) : name === "rejected" ? css("lost")
          : /duplicates|conflicts/.test(name) ? css("leaving") : name === "kept" ? css("kept") : css("c0");
      const totals = Object.fromEntries(names.map((name) => [name, Math.max(
        ...[0, 1].map((end) => data.flow.filter((step) => step[end] === name).reduce((sum, step) => sum + step[2], 0)))]));
      return base({
        tooltip: { formatter: (at) => at.dataType === "edge"
          ? `${escaped(bare(at.data.source))} → ${escaped(bare(at.data.target))}: ${whole(at.data.value)}`
          : `${escaped(bare(at.name))}: ${whole(totals[at.name])}` },
        series: [{
          // Nodes that nothing leaves stand in the last column, in the order of the data, with room for a label each.
          type: "sankey", nodeAlign: "justify", layoutIterations: 0, nodeGap: 18, nodeWidth: 12, draggable: false,
          left: 4, right: width < 520 ? 116 : 170, top: 10, bottom: 10, emphasis: { focus: "adjacency" },
          data: names.map((name) => ({ name, itemStyle: { color: tint(name) } })),
          links: data.flow.map(([source, target, value]) => ({ source, target, value,
            lineStyle: { color: tint(target), opacity: 0.3 } })),
          label: { color: css("text"), fontSize: width < 520 ? 11 : 12, lineHeight: 16,
            formatter: (at) => cut(bare(at.name), width < 520 ? 17 : 26) },
        }],
      });
    },

    // Three panels, one below the other, over one time axis.
    time(width, height) {
      const { end, workers, stages, phases, spans, memory, limit, paces } = data.time;
      const left = width < 520 ? 66 : 84;
      const right = paces.some((pace) => pace.rows) ? (width < 520 ? 78 : 96) : 16;
      const near = Math.max(...memory.map((point) => point[1])) > limit / 4;
      const rows = height - 330;
      const panels = [[44, rows], [rows + 84, 90], [rows + 214, 80]];
      const across = (time) => left + (time / end) * (width - left - right);
      const below = panels[2][0] + panels[2][1];
      const bar = (tint) => (_, api) => {
        const from = api.coord([api.value(1), api.value(0)]);
        const to = api.coord([api.value(2), api.value(0)]);
        const high = api.size([0, 1])[1] * 0.7;
        return { type: "rect", style: { fill: tint },
          shape: { x: from[0], y: from[1] - high / 2, width: Math.max(to[0] - from[0], 1), height: high } };
      };
      const borders = phases.slice(1).map(([, begin]) => ({ type: "line", silent: true, z: 10, name: "border",
        shape: { x1: across(begin), y1: 20, x2: across(begin), y2: below },
        style: { stroke: css("quiet"), lineDash: [4, 3], lineWidth: 1 } }));
      const fitting = ([name, from, to]) =>
        [name, name.split(":")[0]].find((text) => across(to) - across(from) > 7 * text.length + 8);
      const names = phases.filter(fitting).map((phase) => ({ type: "text", silent: true, x: across(phase[1]) + 5, y: 22,
        style: { text: fitting(phase), fill: css("text"), fontSize: 12, fontFamily: getComputedStyle(document.body).fontFamily } }));
      const at = (panel) => ({ xAxisIndex: panel, yAxisIndex: panel });
      return base({
        tooltip: { formatter: (at) => `${escaped(at.seriesName)}: ${seconds(at.value[1])} to ${seconds(at.value[2])}` },
        title: [title("workers", 0, 22), title("speed", 0, rows + 60), title("memory", 0, rows + 190)],
        // Bounds of their own would move the panels apart where a label is long.
        grid: panels.map(([top, tall]) => ({ left, right, top, height: tall, outerBoundsMode: "none" })),
        axisPointer: { link: [{ xAxisIndex: "all" }] },
        graphic: [...borders, ...names],
        xAxis: panels.map((_, gridIndex) => axis({ gridIndex, type: "value", min: 0, max: end,
          axisLabel: { show: gridIndex === 2, margin: 12, formatter: seconds, showMaxLabel: false } })),
        yAxis: [
          axis({ gridIndex: 0, type: "category", inverse: true, splitLine: { show: false },
            data: Array.from({ length: workers }, (_, number) => `${number + 1}`) }),
          axis({ gridIndex: 1, type: "value", splitNumber: 2, axisLabel: { formatter: bytesPerSecond } }),
          axis({ gridIndex: 2, type: "value", splitNumber: 2, max: near ? limit : undefined, axisLabel: { formatter: bytes } }),
          axis({ gridIndex: 1, type: "value", splitNumber: 2, splitLine: { show: false }, axisLabel: { formatter: rowsPerSecond } }),
        ],
        series: [
          ...stages.map(([name, tint], number) => ({ name, type: "custom", renderItem: bar(color(tint)), ...at(0),
            itemStyle: { color: color(tint) }, encode: { x: [1, 2], y: 0 },
            data: spans.filter((span) => span[3] === number).map(([worker, from, to]) => [worker, from, to]) })),
          ...paces.map((pace) => ({ name: pace.name, type: "line", step: "end", showSymbol: pace.points.length < 2,
            data: pace.points, xAxisIndex: 1, yAxisIndex: pace.rows ? 3 : 1, color: color(pace.rows ? 4 : 1), areaStyle: { opacity: 0.15 },
            tooltip: { trigger: "axis", valueFormatter: pace.rows ? rowsPerSecond : bytesPerSecond } })),
          { name: "memory", type: "line", showSymbol: memory.length < 2, data: memory, ...at(2),
            color: color(7), areaStyle: { opacity: 0.15 },
            markLine: { silent: true, symbol: "none", data: near ? [{ yAxis: limit }] : [], lineStyle: { color: css("lost") },
              label: { color: css("quiet"), position: "insideEndTop", formatter: "limit" } } },
        ],
      });
    },

    history(width) {
      const left = width < 520 ? 66 : 84;
      const shares = { duplicates: color(4), conflicts: color(3), rejected: color(6) };
      const runs = data.history.map((run) => run.label);
      return base({
        tooltip: { trigger: "axis" },
        grid: [[24, 100], [164, 110]].map(([top, height]) => ({ left, right: 16, top, height, outerBoundsMode: "none" })),
        title: [title("speed", 0, 2), title("share of the records read", 0, 142)],
        xAxis: [0, 1].map((gridIndex) => axis({ gridIndex, type: "category", data: runs, axisLabel: { show: gridIndex === 1, margin: 12 } })),
        yAxis: [
          axis({ gridIndex: 0, type: "value", splitNumber: 2, axisLabel: { formatter: bytesPerSecond } }),
          axis({ gridIndex: 1, type: "value", splitNumber: 3, axisLabel: { formatter: percent } }),
        ],
        series: [
          { name: "speed", type: "bar", barMaxWidth: 40, color: css("c0"), data: data.history.map((run) => run.speed),
            tooltip: { valueFormatter: bytesPerSecond } },
          ...Object.entries(shares).map(([name, tint]) => ({ name, type: "line", xAxisIndex: 1, yAxisIndex: 1, color: tint,
            data: data.history.map((run) => run[name]), tooltip: { valueFormatter: percent } })),
        ],
      });
    },
  };

  function draw() {
    for (const chart of drawn.splice(0)) chart.dispose();
    for (const place of document.querySelectorAll("[data-chart]")) {
      const width = forPrint ? 680 : place.clientWidth;
      const option = charts[place.dataset.chart](width, parseInt(place.style.height, 10));
      place.parentElement.hidden = option === null;
      if (option === null) continue;
      const chart = echarts.init(place, null, { renderer: "svg", width });
      chart.setOption(option);
      drawn.push(chart);
    }
    root.dataset.drawn = String(drawn.length);
  }

  // On paper everything is open and light.
  function preparePaper() {
    forPrint = true;
    root.dataset.print = "";
    for (const part of document.querySelectorAll("details:not([open])")) {
      part.open = true;
      part.dataset.opened = "";
    }
    draw();
  }
  function returnToScreen() {
    forPrint = false;
    delete root.dataset.print;
    for (const part of document.querySelectorAll("[data-opened]")) {
      part.open = false;
      delete part.dataset.opened;
    }
    draw();
  }

  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(draw, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("beforeprint", preparePaper);
  addEventListener("afterprint", returnToScreen);
  draw();
})();
