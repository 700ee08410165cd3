"""What an audit does not show, as sentences for the report."""

from __future__ import annotations

from auditkit.auditing.prepare import PreparedDataset
from auditkit.policy.schema import Policy


def limits(policy: Policy, datasets: list[PreparedDataset]) -> list[str]:
    """The limits of this very audit, the general ones last."""
    found = []
    if not any(attack.kind != "bos_prefix" for attack in policy.prefix_attacks):
        found.append("Only the baseline attack was run: nothing was asked through the chat template.")
    if not policy.record_probes:
        found.append(
            "No likelihood was read: whether the model finds the records more likely than text that it never saw was "
            "not asked."
        )
    if policy.arms:
        found.append(
            "An arm's figure is that of the strongest attack tried on it. Somebody who knows the mitigation may think "
            "of another: that none of these succeeded does not show that none would."
        )
    if policy.models.candidate.reach != "open_weights":
        found.append(
            "The weights were not seen. What was audited is what a server gave out under the model's name while the "
            "audit ran: that these weights are the ones that ship, and that nothing between filtered what they wrote, "
            "is the server's word. A server may also not keep to seeds, so the same run may come out otherwise."
        )
    elif policy.release.access != "open-weights" and policy.release.arm == "baseline":
        found.append(
            "The attacks were made with access to the weights. Whoever reaches the model through an API alone can do "
            "less: the figures are an upper estimate of what these attacks would find there."
        )
    found += [
        f"The controls of {data.name} are taken at the policy's word: that they were never trained on was not proved."
        for data in datasets
        if data.controls.records
    ]
    found += [
        "Other attacks, more samples or another sampler may extract more. A pass says that these attacks, at this "
        "strength, found no more than the limit; it does not say that nothing can be extracted.",
        "Intervals speak of chance in sampling, with the declared data and controls held fixed.",
        "Text that is not in the declared datasets was not looked for.",
        "Paraphrases were not tried as positive controls: how well the embedder finds them is not measured here.",
    ]
    return found
