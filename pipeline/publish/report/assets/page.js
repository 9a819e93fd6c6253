"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const drawn = [];
  let forPrint = false;

  const css = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const color = (number) => css(`c${number % 8}`);
  const whole = (value) => Math.round(value).toLocaleString("en");
  const percent = (value) => `${(value * 100).toPrecision(3)} %`;
  const shortened = (value) => {
    for (const [size, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
      if (Math.abs(value) >= size) return `${Number((value / size).toPrecision(3))} ${unit}`;
    }
    return String(Number(value.toPrecision(3)));
  };
  const seconds = (value) => `${Number(value.toFixed(2))} s`;
  const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
  const bare = (name) => name.replace(/^@/, "");
  const escaped = echarts.format.encodeHTML;

  const axis = (more) => ({
    axisLine: { lineStyle: { color: css("line") } },
    axisTick: { show: false },
    splitLine: { lineStyle: { color: css("line") } },
    axisLabel: { color: css("quiet"), hideOverlap: true },
    nameTextStyle: { color: css("quiet") },
    ...more,
  });
  const base = (more) => ({
    animation: false,
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: css("text") },
    tooltip: {
      confine: true, backgroundColor: css("raised"), borderColor: css("line"), textStyle: { color: css("text") },
      ...more.tooltip,
    },
    ...Object.fromEntries(Object.entries(more).filter(([key]) => key !== "tooltip")),
  });
  const legend = (names) => ({ data: names, top: 0, left: 0, type: "scroll", textStyle: { color: css("text") },
    pageIconColor: css("text"), pageIconInactiveColor: css("line"), pageTextStyle: { color: css("quiet") } });

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
          type: "sankey", nodeAlign: "left", left: 4, right: width < 520 ? 96 : 150, top: 10, bottom: 10, nodeGap: 12, nodeWidth: 12,
          layoutIterations: 32, draggable: false, emphasis: { focus: "adjacency" },
          data: names.map((name) => ({ name, itemStyle: { color: tint(name) } })),
          links: data.flow.map(([source, target, value]) => ({ source, target, value,
            lineStyle: { color: tint(target), opacity: 0.3 } })),
          labelLayout: { hideOverlap: true },
          label: { color: css("text"), fontSize: width < 720 ? 10 : 12,
            formatter: (at) => width < 520 ? cut(bare(at.name), 16) : `${cut(bare(at.name), 22)}  ${shortened(totals[at.name])}` },
        }],
      });
    },

    regions: (width) => bars(data.regions, width, "minutes", (place) => color(place)),
    rejected: (width) => bars(data.rejected, width, "records", () => css("lost")),

    timeline(width) {
      const { workers, stages, phases, spans } = data.timeline;
      const rows = ["phases", ...Array.from({ length: workers }, (_, number) => `worker ${number + 1}`)];
      const bar = (item, opacity) => (_, api) => {
        const from = api.coord([api.value(1), api.value(0)]);
        const to = api.coord([api.value(2), api.value(0)]);
        const height = api.size([0, 1])[1] * 0.7;
        return { type: "rect", style: { fill: item, opacity },
          shape: { x: from[0], y: from[1] - height / 2, width: Math.max(to[0] - from[0], 1), height } };
      };
      const lane = (name, items, tint, opacity = 1) => ({ name, type: "custom", renderItem: bar(tint, opacity), data: items,
        itemStyle: { color: tint, opacity }, encode: { x: [1, 2], y: 0 } });
      return base({
        tooltip: { formatter: (at) => `${escaped(at.seriesName)}: ${seconds(at.value[1])} to ${seconds(at.value[2])}` },
        legend: legend([...phases.map(([name]) => name), ...stages]),
        grid: { left: width < 520 ? 62 : 74, right: 12, top: 34, bottom: 28 },
        xAxis: axis({ type: "value", min: 0, max: data.speed.end, axisLabel: { color: css("quiet"), formatter: seconds, hideOverlap: true, showMaxLabel: false } }),
        yAxis: axis({ type: "category", inverse: true, data: rows, splitLine: { show: false } }),
        series: [
          ...phases.map(([name, begin, end], place) => lane(name, [[0, begin, end]], css("quiet"), 1 - place * 0.3)),
          ...stages.map((name, number) => lane(name,
            spans.filter((span) => span[3] === number).map(([worker, begin, end]) => [worker + 1, begin, end]), color(number))),
        ],
      });
    },

    speed(width) {
      const { memory, limit, paces, end } = data.speed;
      const unit = (rows) => (value) => rows ? `${shortened(value)} rows/s` : `${shortened(value)}B/s`;
      const rows = paces.some((pace) => pace.rows);
      const near = Math.max(...memory.map((point) => point[1])) > limit / 4;
      return base({
        tooltip: { trigger: "axis" },
        legend: legend([...paces.map((pace) => pace.name), "memory"]),
        grid: [{ left: 74, right: 70, top: 34, height: 90 }, { left: 74, right: 70, top: 160, bottom: 24 }],
        axisPointer: { link: [{ xAxisIndex: "all" }] },
        xAxis: [0, 1].map((gridIndex) => axis({ gridIndex, type: "value", min: 0, max: end, splitLine: { show: false },
          axisLabel: { show: gridIndex === 1, color: css("quiet"), formatter: seconds, hideOverlap: true, showMaxLabel: false } })),
        yAxis: [
          axis({ gridIndex: 0, type: "value", splitNumber: 2, axisLabel: { color: css("quiet"), formatter: (v) => `${shortened(v)}B/s` } }),
          axis({ gridIndex: 0, type: "value", splitNumber: 2, show: rows, splitLine: { show: false },
            axisLabel: { color: css("quiet"), formatter: (v) => `${shortened(v)}/s` } }),
          axis({ gridIndex: 1, type: "value", splitNumber: 2, max: near ? limit : undefined,
            axisLabel: { color: css("quiet"), formatter: (v) => `${shortened(v)}B` } }),
        ],
        series: [
          ...paces.map((pace, place) => ({ name: pace.name, type: "line", step: "end", showSymbol: pace.points.length < 2,
            data: pace.points, xAxisIndex: 0, yAxisIndex: pace.rows ? 1 : 0, color: color(place), areaStyle: { opacity: 0.15 },
            tooltip: { valueFormatter: unit(pace.rows) } })),
          { name: "memory", type: "line", showSymbol: memory.length < 2, data: memory, xAxisIndex: 1, yAxisIndex: 2,
            color: color(3), areaStyle: { opacity: 0.15 }, tooltip: { valueFormatter: (v) => `${shortened(v)}B` },
            markLine: { silent: true, symbol: "none", data: near ? [{ yAxis: limit }] : [], lineStyle: { color: css("lost") },
              labelLayout: { hideOverlap: true },
          label: { color: css("quiet"), position: "insideEndTop", formatter: "limit" } } },
        ],
      });
    },

    history(width) {
      const shares = ["duplicates", "conflicts", "rejected"];
      const paint = { duplicates: css("leaving"), conflicts: color(3), rejected: css("lost") };
      return base({
        tooltip: { trigger: "axis" },
        legend: legend(["throughput", ...shares]),
        grid: { left: 74, right: 62, top: 40, bottom: 28 },
        xAxis: axis({ type: "category", data: data.history.map((run) => run.version),
          axisLabel: { color: css("quiet"), hideOverlap: true, formatter: (name) => name.replace(/^\d{4}(\d\d)(\d\d)T(\d\d)(\d\d).*/, "$1-$2 $3:$4") } }),
        yAxis: [
          axis({ type: "value", axisLabel: { color: css("quiet"), formatter: (v) => `${shortened(v)}B/s` } }),
          axis({ type: "value", splitLine: { show: false }, axisLabel: { color: css("quiet"), formatter: (v) => `${Number((v * 100).toPrecision(2))} %` } }),
        ],
        series: [
          { name: "throughput", type: "bar", barMaxWidth: 40, color: css("c0"), data: data.history.map((run) => run.speed),
            tooltip: { valueFormatter: (v) => `${shortened(v)}B/s` } },
          ...shares.map((name) => ({ name, type: "line", yAxisIndex: 1, color: paint[name],
            data: data.history.map((run) => run[name]), tooltip: { valueFormatter: percent } })),
        ],
      });
    },
  };

  function bars(pairs, width, unit, tint) {
    const shown = pairs.slice(0, 24);
    return base({
      tooltip: { valueFormatter: (value) => `${whole(value)} ${unit}` },
      grid: { left: width < 520 ? 112 : 190, right: 56, top: 8, bottom: 28 },
      xAxis: axis({ type: "value", splitNumber: width < 520 ? 2 : 5, axisLabel: { color: css("quiet"), formatter: shortened, hideOverlap: true } }),
      yAxis: axis({ type: "category", inverse: true, data: shown.map(([name]) => name), splitLine: { show: false },
        axisLabel: { color: css("text"), interval: 0, formatter: (name) => cut(name, width < 520 ? 15 : 26) } }),
      series: [{ type: "bar", barMaxWidth: 18,
        data: shown.map(([, value], place) => ({ value, itemStyle: { color: tint(place) } })),
        label: { show: true, position: "right", color: css("quiet"), formatter: (at) => shortened(at.value) } }],
    });
  }

  function draw() {
    for (const chart of drawn.splice(0)) chart.dispose();
    for (const place of document.querySelectorAll("[data-chart]")) {
      const width = forPrint ? 680 : place.clientWidth;
      const option = charts[place.dataset.chart](width);
      place.hidden = option === null;
      if (option === null) continue;
      const chart = echarts.init(place, null, { renderer: "svg", width: forPrint ? width : undefined });
      chart.setOption(option);
      drawn.push(chart);
    }
    root.dataset.drawn = String(drawn.length);
  }

  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(draw, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("beforeprint", () => { forPrint = true; root.dataset.print = ""; draw(); });
  addEventListener("afterprint", () => { forPrint = false; delete root.dataset.print; draw(); });
  draw();
})();
