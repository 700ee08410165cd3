"""The formats for machines against the schemas of those who read them, and against hostile names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema import Draft4Validator
from lxml import etree

from auditkit.report.base import AuditReport, Finding, Verdict
from auditkit.report.cyclonedx_format import CyclonedxFormat
from auditkit.report.junit_format import JunitFormat
from auditkit.report.sarif_format import MOST_RESULTS, SarifFormat
from tests.report.builder import build_report, rule, small_report
from tests.report.hostile import HOSTILE

SCHEMAS = Path(__file__).parent / "schemas"
SARIF = Draft4Validator(json.loads((SCHEMAS / "sarif-schema-2.1.0.json").read_text()))


def sarif(report: AuditReport, folder: Path) -> dict[str, Any]:
    (path,) = SarifFormat().write(report, folder)
    log: dict[str, Any] = json.loads(path.read_bytes())
    assert [error.message for error in SARIF.iter_errors(log)] == []
    return log


def junit(report: AuditReport, folder: Path, schema: str = "junit-10.xsd") -> Any:
    (path,) = JunitFormat().write(report, folder)
    found = etree.parse(path)
    if schema == "junit-10-strict.xsd":
        for case in found.iter("testcase"):
            case.attrib.pop("file", None)  # GitLab's, which this one does not know
    etree.XMLSchema(etree.parse(SCHEMAS / schema)).assertValid(found)
    return found


def bom(report: AuditReport, folder: Path) -> dict[str, Any]:
    (path,) = CyclonedxFormat().write(report, folder)
    text = path.read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found: dict[str, Any] = json.loads(text)
    return found


def everywhere(text: str) -> AuditReport:
    """A report with this text in every place that somebody else fills."""
    report = small_report()
    hostile = rule("fail", text, 0.5, 0.01, reason=text, rule=text, attack=text, arm=text)
    of_model: dict[str, Any] = dict.fromkeys(("backend", "source", "dtype", "licence", "architecture"), text)
    models = [
        replace(model, **of_model, files={text: model.sha256, f"{text}2": model.sha256}) for model in report.models
    ]
    of_data = {"name": text, "licence": text, "owner": text, "classification": text, "folder": text}
    return report.model_copy(
        update={
            "models": models,
            "datasets": [data.model_copy(update=of_data) for data in report.datasets[:1]],
            "findings": [f.model_copy(update={"file": text, "dataset": text}) for f in report.findings],
            "verdict": Verdict(outcome="fail", arm="baseline", rules=[hostile], cautions=[text]),
            "release": report.release.model_copy(update={"organisation": text, "auditor": text}),
            "policy": report.policy.model_copy(update={"name": text, "file": text}),
        }
    )


class TestSchemas:
    """Valid whatever came out, and whoever wrote the names."""

    @pytest.mark.parametrize("outcome", ["pass", "fail", "inconclusive"])
    def test_of_every_outcome(self, tmp_path: Path, outcome: Any) -> None:
        report = build_report(outcome)
        sarif(report, tmp_path)
        bom(report, tmp_path)
        for schema in ("junit-10.xsd", "junit-10-strict.xsd"):
            junit(report, tmp_path, schema)

    @pytest.mark.parametrize("name", HOSTILE)
    def test_of_hostile_names(self, tmp_path: Path, name: str) -> None:
        report = everywhere(HOSTILE[name])
        sarif(report, tmp_path)
        bom(report, tmp_path)
        junit(report, tmp_path)
        for path in tmp_path.iterdir():
            assert not set(path.read_text(encoding="utf-8")) & set("\x00\x1b\x07\x9b\u202e\u200b")

    def test_they_find_what_is_wrong(self, tmp_path: Path) -> None:
        log = sarif(small_report(), tmp_path)
        log["runs"][0]["results"][0]["level"] = "grave"
        assert list(SARIF.iter_errors(log))
        found = bom(small_report(), tmp_path)
        found["components"][-1]["data"][0]["type"] = "texts"
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(found)) is not None


class TestSarif:
    """What GitHub makes of the file."""

    def found(self, finding: Finding, folder: str | None, tmp_path: Path) -> Any:
        report = small_report()
        datasets = [data.model_copy(update={"folder": folder}) for data in report.datasets]
        (result,) = (
            result
            for result in sarif(report.model_copy(update={"findings": [finding], "datasets": datasets}), tmp_path)[
                "runs"
            ][0]["results"]
            if result["ruleId"] == "leaked-record"
        )
        return result

    @pytest.mark.parametrize(
        ("folder", "file", "uri", "base"),
        [
            (".", "a.jsonl", "a.jsonl", "%SRCROOT%"),
            ("data/sft", "part-1.jsonl", "data/sft/part-1.jsonl", "%SRCROOT%"),
            ("data", "a b/ünï#1.jsonl", "data/a%20b/%C3%BCn%C3%AF%231.jsonl", "%SRCROOT%"),
            (".", "a:b.jsonl", "a%3Ab.jsonl", "%SRCROOT%"),
            (None, "a.jsonl", "sft-support/a.jsonl", "DATASETS"),
            (".", "/home/auditor/a.jsonl", "sft-support/a.jsonl", "DATASETS"),
            (".", "../../home/auditor/a.jsonl", "sft-support/a.jsonl", "DATASETS"),
        ],
    )
    def test_files_are_relative_and_tell_nothing_of_the_machine(
        self, tmp_path: Path, folder: str | None, file: str, uri: str, base: str
    ) -> None:
        finding = small_report().findings[0].model_copy(update={"file": file, "line": 0, "dataset": "sft-support"})
        place = self.found(finding, folder, tmp_path)["locations"][0]["physicalLocation"]
        assert place == {"artifactLocation": {"uri": uri, "uriBaseId": base}}

    def test_an_alert_is_the_records_whatever_moved(self, tmp_path: Path) -> None:
        finding = small_report().findings[0]
        moved = finding.model_copy(update={"line": 999, "file": "other.jsonl", "generation": "g", "score": 0.9})
        other = finding.model_copy(update={"record": "rec-of-another"})
        prints = [self.found(one, ".", tmp_path)["partialFingerprints"] for one in (finding, moved, other)]
        assert prints[0] == prints[1] != prints[2]
        # GitHub tracks by this one; where it is missing, the upload digests the line, which would confirm a guess.
        assert all(set(one) == {"auditkitRecord/v1", "primaryLocationLineHash"} for one in prints)

    def test_two_limits_on_one_target_are_two_findings_that_stay_what_they_are(self, tmp_path: Path) -> None:
        rule = build_report("fail").verdict.rules[0].model_copy(update={"outcome": "fail"})

        def prints(*rules: tuple[float, str]) -> list[str]:
            """Of the rules that did not pass, by their limits in this order."""
            made = [rule.model_copy(update={"limit": limit, "outcome": outcome}) for limit, outcome in rules]
            report = small_report()
            verdict = report.verdict.model_copy(update={"rules": made})
            results = sarif(report.model_copy(update={"verdict": verdict}), tmp_path)["runs"][0]["results"]
            return [r["partialFingerprints"]["auditkitRule/v1"] for r in results if r["ruleId"] == rule.metric]

        strict, lax = prints((0.01, "fail"), (0.05, "fail"))
        assert strict != lax
        assert prints((0.05, "fail"), (0.01, "fail")) == [lax, strict]  # in whatever order the policy has them
        assert prints((0.01, "fail"), (0.05, "pass")) == [strict] == prints((0.01, "fail"))
        assert prints((0.01, "pass"), (0.05, "fail")) == [lax]
        assert prints((0.02, "fail")) == [strict]  # a limit that is moved is no new finding

    def test_every_result_has_a_place_and_a_category(self, tmp_path: Path) -> None:
        report = build_report("fail")
        run = sarif(report, tmp_path)["runs"][0]
        assert all(len(result["locations"]) == 1 for result in run["results"])
        assert run["automationDetails"]["id"].rsplit("/", 1)[0] == f"auditkit/{report.policy.name}"
        for place in (result["locations"][0]["physicalLocation"] for result in run["results"]):
            assert place["artifactLocation"]["uriBaseId"] in run["originalUriBaseIds"]

    def test_rules_weigh_what_github_reads(self, tmp_path: Path) -> None:
        for found in sarif(build_report("fail"), tmp_path)["runs"][0]["tool"]["driver"]["rules"]:
            assert 7 <= float(found["properties"]["security-severity"]) < 9
            assert found["properties"]["precision"] in ("very-high", "high")
            assert "security" in found["properties"]["tags"] and len(found["properties"]["tags"]) <= 10
            assert found["help"]["text"] and found["help"]["markdown"]
            assert len(found["fullDescription"]["text"]) <= 1024 and "helpUri" not in found

    def test_no_more_results_than_github_takes(self, tmp_path: Path) -> None:
        report = small_report()
        many = report.model_copy(update={"findings": report.findings[:1] * (MOST_RESULTS + 5)})
        (path,) = SarifFormat().write(many, tmp_path)
        results = json.loads(path.read_bytes())["runs"][0]["results"]
        assert len(results) == MOST_RESULTS
        assert results[0]["ruleId"] != "leaked-record"  # the rules come first


class TestJunit:
    """What Jenkins and GitLab keep a history by."""

    def test_names_hold_no_figure_and_no_more_dots_than_ours(self, tmp_path: Path) -> None:
        def names(value: float, limit: float) -> list[tuple[str, str]]:
            made = rule("fail", "sft-1.2", value, 0.001, limit=limit, rule=f"at most {limit}")
            verdict = Verdict(outcome="fail", arm="baseline", rules=[made, made], cautions=[])
            cases = junit(small_report(verdict=verdict), tmp_path).iter("testcase")
            return [(case.get("classname"), case.get("name")) for case in cases]

        before = names(0.5, 0.01)
        assert before == names(0.7, 0.02)
        assert before[0] == ("auditkit.baseline.sft-1_2", "adjusted_coverage of template_prefix on sft-1.2 (record)")
        assert before[1] == (before[0][0], f"{before[0][1]} (2)")

    def test_it_says_what_the_results_are_of(self, tmp_path: Path) -> None:
        report = build_report("fail")
        report = report.model_copy(update={"policy": report.policy.model_copy(update={"file": "audit/policy.yaml"})})
        found = junit(report, tmp_path)
        properties = {element.get("name"): element.get("value") for element in found.iter("property")}
        assert properties["auditkit.run"] == report.run.id
        assert properties["auditkit.verdict"] == "fail"
        assert properties["auditkit.policy.sha256"] == report.policy.sha256
        assert properties["auditkit.model.candidate.sha256"] == report.models[0].sha256
        assert {case.get("file") for case in found.iter("testcase")} == {"audit/policy.yaml"}
        failure = next(found.iter("failure"))
        assert failure.text == failure.get("message") and "limit" in failure.text


class TestCyclonedx:
    """Models and datasets with licences and hashes."""

    def licensed(self, licence: str, tmp_path: Path) -> Any:
        report = small_report()
        data = report.datasets[0].model_copy(update={"licence": licence})
        found = bom(report.model_copy(update={"datasets": [data]}), tmp_path)
        component = next(one for one in found["components"] if one["type"] == "data")
        return component.get("licenses")

    @pytest.mark.parametrize(
        ("licence", "written"),
        [
            ("apache-2.0", {"license": {"id": "Apache-2.0", "acknowledgement": "declared"}}),
            ("CC-BY-4.0", {"license": {"id": "CC-BY-4.0", "acknowledgement": "declared"}}),
            ("MIT OR Apache-2.0", {"expression": "MIT OR Apache-2.0", "acknowledgement": "declared"}),
            ("proprietary", {"license": {"name": "proprietary", "acknowledgement": "declared"}}),
            ("llama3.1", {"license": {"name": "llama3.1", "acknowledgement": "declared"}}),
        ],
    )
    def test_a_licence_is_an_id_where_spdx_has_one(self, tmp_path: Path, licence: str, written: Any) -> None:
        assert self.licensed(licence, tmp_path) == [written]

    @pytest.mark.parametrize("licence", ["", "  ", "unknown"])
    def test_none_is_none(self, tmp_path: Path, licence: str) -> None:
        assert self.licensed(licence, tmp_path) is None

    def test_a_long_licence_is_cut(self, tmp_path: Path) -> None:
        (written,) = self.licensed("all rights reserved " * 100, tmp_path)
        assert len(written["license"]["name"]) < 250

    def test_it_names_models_files_and_data(self, tmp_path: Path) -> None:
        report = build_report("fail")
        found = bom(report, tmp_path)
        candidate = report.models[0]
        subject = found["metadata"]["component"]
        hashes = {part["name"]: part["hashes"][0]["content"] for part in subject["components"]}
        assert hashes == candidate.files
        assert subject["type"] == "machine-learning-model"
        kinds = [component["type"] for component in found["components"]]
        assert kinds == ["machine-learning-model", "data", "data"]
        depends = {entry["ref"]: entry["dependsOn"] for entry in found["dependencies"]}
        assert depends[subject["bom-ref"]] == [component["bom-ref"] for component in found["components"]]
        datasets = [component["bom-ref"] for component in found["components"] if component["type"] == "data"]
        assert [entry["ref"] for entry in subject["modelCard"]["modelParameters"]["datasets"]] == datasets
        (owner,) = found["components"][1]["data"][0]["governance"]["owners"]
        assert owner == {"contact": {"email": "data@example.com"}}
        said = {entry["name"]: entry["value"] for entry in found["properties"]}
        assert said["auditkit:audit:verdict"] == "fail"
        assert said["auditkit:audit:policy-sha256"] == report.policy.sha256

    def test_the_figures_that_were_judged_are_in_the_model_card(self, tmp_path: Path) -> None:
        report = build_report("fail")
        metrics = bom(report, tmp_path)["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]
        judged = [one.estimate for one in report.verdict.rules if one.estimate and one.estimate.value is not None]
        assert [float(entry["value"]) for entry in metrics["performanceMetrics"]] == [one.value for one in judged]

    def test_of_the_data_there_is_the_blinded_root_alone(self, tmp_path: Path) -> None:
        report = build_report("fail")
        data = next(one for one in bom(report, tmp_path)["components"] if one["type"] == "data")
        properties = {entry["name"]: entry["value"] for entry in data["properties"]}
        assert properties["auditkit:dataset:merkle-root"] == report.datasets[0].merkle_root
        assert "hashes" not in data and "hashes" not in data["data"][0]

    def test_a_serial_number_is_the_runs(self, tmp_path: Path) -> None:
        report = small_report()
        other = report.model_copy(update={"run": report.run.model_copy(update={"id": "another"})})
        numbers = [bom(one, tmp_path)["serialNumber"] for one in (report, report, other)]
        assert numbers[0] == numbers[1] != numbers[2]

    def test_where_a_model_lies_on_the_auditors_machine_is_not_told(self, tmp_path: Path) -> None:
        report = everywhere("/home/auditor/secret-project/weights")
        assert bom(report, tmp_path)["metadata"]["component"]["name"] == "weights"

    def test_a_report_without_models_is_a_bom_of_the_data(self, tmp_path: Path) -> None:
        found = bom(small_report().model_copy(update={"models": []}), tmp_path)
        assert "component" not in found["metadata"] and all(not e["dependsOn"] for e in found["dependencies"])
