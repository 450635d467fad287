# SPDX-License-Identifier: GPL-2.0
"""What the dashboards are built of: variables, and panels that cannot lack a unit or a description.

A query is (PromQL, legend). OF selects by the variables; RATE is the range that suits the scrape
interval and the width of the screen.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    HeatmapCellLayout,
    LegendDisplayMode,
    LegendPlacement,
    ScaleDistribution,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Query = tuple[str, str]
OF = 'instance=~"$instance",area=~"$area"'
RATE = "[$__rate_interval]"
PAGES, PAGES_A_SECOND = "suffix: pages", "suffix: pages/s"
SHARE, SECONDS, A_SECOND, COUNT = "percentunit", "s", "ops", "short"
_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_HEIGHT = 8


def board(title: str, uid: str, description: str, several: bool = True) -> dashboard.Dashboard:
    """A dashboard with the variables; several: of more than one device at a time."""
    instance = (
        dashboard.QueryVariable("instance").label("Device").datasource(_SOURCE)
        .description("The exporter's address: one for each device.")
        .query("label_values(cma_area_pages, instance)").sort(VariableSort.ALPHABETICAL_ASC)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).multi(several).include_all(several))
    area = (
        dashboard.QueryVariable("area").label("Area").datasource(_SOURCE)
        .description("CMA areas of the devices chosen.")
        .query('label_values(cma_area_pages{instance=~"$instance"}, area)')
        .sort(VariableSort.ALPHABETICAL_ASC).refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True).include_all(True).all_value(".+"))
    return (
        dashboard.Dashboard(title).uid(uid).description(description).tags(["cmaobs"])
        .time("now-1h", "now").refresh("30s").tooltip(DashboardCursorSync.CROSSHAIR).readonly()
        .link(dashboard.DashboardLink("CMA").type(DashboardLinkType.DASHBOARDS).tags(["cmaobs"])
              .as_dropdown(True).include_vars(True).keep_time(True))
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source")
                       .type("prometheus"))
        .with_variable(instance.all_value(".+") if several else instance)
        .with_variable(area))


def row(title: str) -> dashboard.Row:
    """A heading."""
    return dashboard.Row(title)


def figure(title: str, unit: str, description: str, query: Query, *, width: int = 4,
           bad_from: float | None = None, good_from: float | None = None) -> stat.Panel:
    """One number with its course behind it; red from bad_from on, or green from good_from on."""
    panel = (stat.Panel().title(title).unit(unit).description(description).datasource(_SOURCE)
             .height(5).span(width).graph_mode(BigValueGraphMode.AREA)
             .color_mode(BigValueColorMode.VALUE)
             .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
             .with_target(_target(query, 0)))
    limit = bad_from if bad_from is not None else good_from
    if limit is None:
        return panel.thresholds(_steps(("text", None)))
    below, above = ("green", "red") if good_from is None else ("red", "green")
    return panel.thresholds(_steps((below, None), (above, limit)))


def series(title: str, unit: str, description: str, *queries: Query, width: int = 12,
           stacked: bool = False, log: bool = False, bounded: bool = True) -> timeseries.Panel:
    """Lines over time; stacked: areas on top of each other; log: a logarithmic axis.

    bounded: the axis begins at 0, and that of a share ends at 1.
    """
    panel = (timeseries.Panel().title(title).unit(unit).description(description)
             .datasource(_SOURCE).height(_HEIGHT).span(width).line_width(1)
             .fill_opacity(40 if stacked else 8)
             .legend(common.VizLegendOptions().display_mode(LegendDisplayMode.TABLE)
                     .placement(LegendPlacement.BOTTOM).show_legend(True)
                     .calcs(["lastNotNull", "max"]))
             .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI)
                      .sort(SortOrder.DESCENDING)))
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if log:
        panel.scale_distribution(
            common.ScaleDistributionConfig().type(ScaleDistribution.LOG).log(10))
    elif bounded:
        panel.min(0)
        if unit == SHARE:
            panel.max(1)
    for place, query in enumerate(queries):
        panel.with_target(_target(query, place))
    return panel


def heat(title: str, description: str, expression: str, width: int = 12) -> heatmap.Panel:
    """How often each duration occurs over time; the expression gives buckets by le, in seconds."""
    return (heatmap.Panel().title(title).description(description).datasource(_SOURCE)
            .height(_HEIGHT).span(width).unit(SECONDS).calculate(False)
            .rows_frame(heatmap.RowsHeatmapOptions().layout(HeatmapCellLayout.LE))
            .y_axis(heatmap.YAxisConfig().unit(SECONDS))
            .cell_values(heatmap.CellValues().unit(A_SECOND))
            .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Viridis")
                   .steps(64))
            .with_target(_target((expression, "{{le}}"), 0).format(PromQueryFormat.HEATMAP)))


def as_json(built: dashboard.Dashboard) -> str:
    """The file that Grafana imports."""
    return JSONEncoder(sort_keys=True, indent=1).encode(built.build()) + "\n"


def _target(query: Query, place: int) -> prometheus.Dataquery:
    expression, legend = query
    return (prometheus.Dataquery().expr(expression).legend_format(legend).range()
            .datasource(_SOURCE).ref_id(chr(ord("A") + place)))


def _steps(*steps: tuple[str, float | None]) -> dashboard.ThresholdsConfig:
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(
        [Threshold(color=color, value=value) for color, value in steps])
