"""Reports, plans and checks for people; nothing that files or servers hold may steer the terminal."""

from homeport_ollama.migrate.finding import Finding
from homeport_ollama.migrate.plan import Plan
from homeport_ollama.migrate.report import Report
from homeport_ollama.migrate.verification import Verification


def report_text(report: Report) -> str:
    """Lay a report out."""
    totals = report.totals
    head = (
        f"{printable(report.root)}: {totals['places']} places, {totals['ready']} ready, "
        f"{totals['attention']} to look at; {totals['files_to_edit']} files to edit; {report.seconds} s"
    )
    named = (
        f"The project names {totals['named_models']} models, {totals['named_models_attention']} to look at"
    )
    store = f"Ollama's store: {totals['models']} models, {totals['models_ready']} can be used"
    parts = ((head, report.places), (named, report.wanted), (store, report.models))
    return "\n".join(line for title, found in parts for line in (title, *map(_finding_text, found)))


def plan_text(plan: Plan, last: Plan) -> str:
    """Lay a plan out: its diffs, what is left to do, and how to go on.

    Args:
        plan: Which one.
        last: What ``apply`` takes where no plan is named; another one where this has no edits.
    """
    points = plan.open_points
    end = (
        f"Plan {plan.id}: {len(plan.files)} files to edit, clients will ask {plan.to}. "
        "Nothing was changed. Do it with: homeport migrate apply"
    )
    if not plan.files:
        kept = "" if last.id == plan.id else f" The last plan stays {named_plan(last)}."
        end = f"Plan {plan.id}: nothing to edit in {printable(plan.root)}.{kept}"
    diffs = [_lines(file.diff) for file in plan.files]
    return "\n".join([*diffs, *(["To look at:", *map(_finding_text, points)] if points else []), end])


def named_plan(plan: Plan) -> str:
    """Name a plan by its id, its folder and what it has."""
    return f"{plan.id} of {printable(plan.root)}, {plan.edit_count} edits in {len(plan.files)} files"


def verification_text(found: Verification) -> str:
    """Lay checks out, and the answers that differ."""
    checks = [
        f"{'ok  ' if check.ok else 'FAIL'} {printable(check.name)}: {printable(check.message)}"
        for check in found.checks
    ]
    differing = [each for each in found.comparisons if each.difference]
    shown = [
        f"     {printable(each.prompt)} ({each.difference})\n       Ollama:   {printable(each.old)}\n"
        f"       homeport: {printable(each.new)}"
        for each in differing
    ]
    return "\n".join([*checks, *shown])


def _finding_text(finding: Finding) -> str:
    where = f"{finding.path}:{finding.line}" if finding.line else finding.path
    what = " = ".join(part for part in (finding.setting, finding.value) if part)
    return printable(f"  {finding.state.value:9} {where}  {what}{'  ' if what else ''}{finding.reason}")


def printable(text: str) -> str:
    """Keep what files hold from steering the terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _lines(text: str) -> str:
    return "\n".join(printable(line.rstrip("\r")) for line in text.split("\n"))
