"""``auditkit keygen``: signing keys and a certificate."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=Path())
@click.option("--subject", default="auditkit", show_default=True, help="Who signs: the certificate's common name.")
@click.option("--label", default="", help="A mark such as DEMO, shown in the certificate and on the report's pages.")
@click.option(
    "--days", type=click.IntRange(1, 36_500), default=730, show_default=True, help="The certificate's validity."
)
def keygen(folder: Path, subject: str, label: str, days: int) -> None:
    """Make signing keys: auditkit.key (secret), auditkit.pub and certificate.pem, in DIR (default: here).

    Existing files are never overwritten. Keep auditkit.key out of version control and out of backups that others read;
    give auditkit.pub and certificate.pem to whoever shall verify your audits.

    \b
    Example:
      auditkit keygen ~/.config/auditkit --subject "Example AI, release audits"
      export AUDITKIT_KEY=~/.config/auditkit/auditkit.key
      # policy.yaml:
      # report: {sign: {key: env:AUDITKIT_KEY, certificate: certificate.pem}}
    """
    from auditkit.signing.keygen import generate

    files = generate(folder, subject=subject, label=label, days=days)
    click.echo(f"{files.private}  the private keys: keep this file secret")
    click.echo(f"{files.public}  the public key: auditkit verify RUN --key")
    click.echo(f"{files.certificate}  the certificate of the PDF signature: auditkit verify RUN --cert")
    click.echo("These keys are for one of two purposes, of two different people:", err=True)
    click.echo(f"  an auditor's, to sign audits: export AUDITKIT_KEY={files.private.resolve()}", err=True)
    click.echo(f"  an approver's, to sign waivers: auditkit waive POLICY ... --key {files.private}", err=True)
