"""Writes the Grafana dashboard divvy.json, for Grafana 11 and newer: python3 istio/grafana/dashboard.py [FILE]

`make bless` runs it. The fleet tests decode the file with Grafana's own types and run every query.
"""

import json
import pathlib
import sys

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
JOB = 'job="$job"'
ROLLOUT = f'{JOB},divvy_rollout="$rollout"'
# Reasons that follow from the weights; sticky ones from earlier weights.
BY_WEIGHT = 'divvy_reason=~"split|sticky|not_enrolled|excluded|holdout"'
FAILED = 'divvy_class=~"5xx|grpc_error|reset"'
REFUSALS = f'{{__name__=~"envoy_extension_config_discovery_.*_config_fail",{JOB}}}'
# During a hot restart, gauges are sums of two processes.
HASHES = f"(divvy_config_hash{{{JOB}}} unless on (job, instance) divvy:hot_restart:20m)"

LEGEND = {"showLegend": True, "displayMode": "table", "placement": "right", "calcs": ["lastNotNull"]}
LINES = {"legend": LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}}
STAT = {
    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    "colorMode": "background", "graphMode": "none", "textMode": "auto", "wideLayout": True,
    "showPercentChange": False, "percentChangeColorMode": "standard", "justifyMode": "auto", "orientation": "auto",
}
STATES = {
    "0": {"text": "healthy", "color": "green", "index": 0},
    "1": {"text": "frozen", "color": "orange", "index": 1},
    "2": {"text": "rolled back", "color": "red", "index": 2},
    "3": {"text": "unreachable", "color": "purple", "index": 3},
}
TIMELINE = {
    "mergeValues": True, "showValue": "auto", "alignValue": "left", "rowHeight": 0.9, "perPage": 20,
    "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
    "tooltip": {"mode": "single", "sort": "none"},
}


def query(expr, legend="", table=False):
    return {"datasource": SOURCE, "expr": expr, "legendFormat": legend, "range": not table, "instant": table,
            "format": "table" if table else "time_series"}


class Panels:
    def __init__(self):
        self.all, self.x, self.y, self.height = [], 0, 0, 0

    def add(self, kind, title, description, queries, width, height, options, **defaults):
        if self.x + width > 24:
            self.x, self.y = 0, self.y + self.height
        for letter, one in zip("ABCDEF", queries):
            one["refId"] = letter
        self.all.append({
            "id": len(self.all) + 1, "type": kind, "title": title, "description": description, "datasource": SOURCE,
            "targets": queries, "gridPos": {"x": self.x, "y": self.y, "w": width, "h": height},
            "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options,
        })
        self.x, self.height = self.x + width, height

    def stat(self, title, description, expr, bad_from=None, color="red"):
        steps = [{"value": None, "color": "green"}]
        if bad_from is not None:
            steps.append({"value": bad_from, "color": color})
        self.add("stat", title, description, [query(expr)], 4, 4, STAT, unit="short", decimals=0,
                 thresholds={"mode": "absolute", "steps": steps})

    def lines(self, title, description, queries, unit, stacked=False, **defaults):
        custom = {"drawStyle": "line", "lineWidth": 2}
        if stacked:
            custom |= {"fillOpacity": 40, "stacking": {"mode": "normal", "group": "A"}}
        self.add("timeseries", title, description, queries, 12, 9, LINES, unit=unit, custom=custom, min=0, **defaults)


def panels():
    p = Panels()
    p.stat("Proxies", "Proxies of the job with divvy.", f"count(count by (instance) (divvy_config_hash{{{JOB}}}))")
    p.stat("Configurations in force", "More than 1: the proxies disagree.",
           f'max(count by (divvy_plugin) (count_values by (divvy_plugin) ("hash", {HASHES})))', 2, "orange")
    p.stat("Without a valid configuration", "Proxies that started with an invalid one. They serve stable.",
           f"sum(divvy_config_inert{{{JOB}}} >= bool 1) or vector(0)", 1)
    p.stat("Refused, last hour", "Refused configurations; the last valid one is in force.",
           f"round(sum(increase({REFUSALS}[1h]))) or vector(0)", 1, "orange")
    p.stat("Held back", "Proxies in which a version of any rollout is frozen, rolled back or unreachable.",
           f"count(max by (instance) (divvy_guardrail_state{{{JOB}}}) > 0) or vector(0)", 1)
    p.stat("Alerts", "Firing alerts of divvy for this job.",
           f'count(ALERTS{{alertname=~"Divvy.*",alertstate="firing",{JOB}}}) or vector(0)', 1)

    p.lines("Share of each version: configured, and of the requests",
            "The two lines of a version should be close. Users are not requests: a few busy users pull them apart.", [
                query(f"sum by (divvy_version) (divvy_weight_ppm{{{ROLLOUT}}}) / ignoring (divvy_version) group_left () "
                      f"(sum(divvy_weight_ppm{{{ROLLOUT}}}) > 0)", "{{divvy_version}} configured"),
                query(f"sum by (divvy_version) (rate(divvy_requests_total{{{ROLLOUT},{BY_WEIGHT}}}[$__rate_interval])) / ignoring (divvy_version) group_left () "
                      f"(sum(rate(divvy_requests_total{{{ROLLOUT},{BY_WEIGHT}}}[$__rate_interval])) > 0)", "{{divvy_version}} requests"),
            ], "percentunit", max=1)
    p.lines("Requests by version and reason", "DECISION.md explains the reasons.", [
        query(f"sum by (divvy_version, divvy_reason) (rate(divvy_requests_total{{{ROLLOUT}}}[$__rate_interval])) > 0",
              "{{divvy_version}} {{divvy_reason}}")], "reqps", stacked=True)
    p.lines("Failures of each version", "Share of the responses with class 5xx, grpc_error or reset.", [
        query(f"(sum by (divvy_version) (rate(divvy_responses_total{{{ROLLOUT},{FAILED}}}[$__rate_interval])) "
              f"or sum by (divvy_version) (rate(divvy_responses_total{{{ROLLOUT}}}[$__rate_interval])) * 0) "
              f"/ (sum by (divvy_version) (rate(divvy_responses_total{{{ROLLOUT}}}[$__rate_interval])) > 0)", "{{divvy_version}}")],
            "percentunit")
    p.lines("Time to the response headers", "50th and 95th percentile of each version.", [
        query(f"histogram_quantile({quantile}, sum by (le, divvy_version) (rate(divvy_request_duration_ms_bucket{{{ROLLOUT}}}[$__rate_interval]))) >= 0",
              f"{{{{divvy_version}}}} {name}") for quantile, name in ((0.95, "p95"), (0.5, "p50"))], "ms")
    p.add("state-timeline", "Guardrail in each proxy", "What the guardrail did, and when.", [
        query(f"divvy_guardrail_state{{{ROLLOUT}}}", "{{divvy_version}} in {{instance}}")], 12, 9, TIMELINE,
        mappings=[{"type": "value", "options": STATES}])
    p.lines("Requests that stable serves instead of a version that is held back", "Reasons rolled_back and unreachable.", [
        query(f'sum by (divvy_reason) (rate(divvy_requests_total{{{ROLLOUT},divvy_reason=~"rolled_back|unreachable"}}[$__rate_interval])) '
              "or vector(0)", "{{divvy_reason}}")], "reqps", stacked=True)
    p.lines("Share of each version in each proxy", "One line per version while the proxies agree. Ramps that were held back differ.", [
        query(f"sum by (instance, divvy_version) (divvy_weight_ppm{{{ROLLOUT}}}) / ignoring (divvy_version) group_left () "
              f"(sum by (instance) (divvy_weight_ppm{{{ROLLOUT}}}) > 0)", "{{divvy_version}} in {{instance}}")], "percentunit", max=1)
    p.add("table", "Configuration of each proxy", "The hash is that of divvy's log, in decimal. Equal hashes are equal configurations.", [
        query(f'count_values by (divvy_plugin, instance) ("hash", {HASHES})', table=True)], 12, 9,
        {"showHeader": True, "frameIndex": 0, "cellHeight": "sm"})
    return p.all


def annotation(name, color, expr, title):
    return {"name": name, "datasource": SOURCE, "enable": True, "hide": False, "iconColor": color, "expr": expr,
            "titleFormat": title, "step": "15s", "useValueForTime": False}


def variable(name, label, values):
    return {
        "type": "query", "name": name, "label": label, "datasource": SOURCE, "query": {"query": values, "refId": name},
        "definition": values, "current": {"text": "", "value": ""}, "hide": 0, "multi": False, "includeAll": False,
        "refresh": 2, "regex": "", "sort": 1, "options": [], "skipUrlSync": False,
    }


DASHBOARD = {
    "uid": "divvy", "title": "divvy", "tags": ["divvy", "envoy"], "timezone": "browser", "editable": True,
    "graphTooltip": 1, "schemaVersion": 42, "refresh": "30s", "time": {"from": "now-1h", "to": "now"},
    "annotations": {"list": [
        annotation("Configuration changes", "blue",
                   f"max by (divvy_plugin) (changes(divvy_config_hash{{{JOB}}}[1m]) unless on (job, instance) divvy:hot_restart:20m) > 0",
                   "configuration changed"),
        annotation("Refused configurations", "red", f"sum by (instance) (increase({REFUSALS}[1m])) > 0",
                   "{{instance}} refused a configuration"),
        annotation("Alerts", "orange", f'sum by (alertname) (ALERTS{{alertname=~"Divvy.*",alertstate="firing",{JOB}}})', "{{alertname}}"),
    ]},
    "templating": {"list": [
        {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus",
         "current": {"text": "", "value": ""}, "hide": 0, "multi": False, "includeAll": False, "refresh": 1,
         "regex": "", "options": [], "skipUrlSync": False},
        variable("job", "Proxies", "label_values(divvy_config_hash, job)"),
        variable("rollout", "Rollout", f"label_values(divvy_weight_ppm{{{JOB}}}, divvy_rollout)"),
    ]},
    "panels": panels(),
}

if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1]) if sys.argv[1:] else pathlib.Path(__file__).with_name("divvy.json")
    target.write_text(json.dumps(DASHBOARD, indent=1) + "\n")
