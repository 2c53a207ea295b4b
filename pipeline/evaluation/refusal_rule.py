"""Does an answer refuse? A rule on how it opens: courtesies and reasons may come before.

Judged on labelled answers: see `rule_errors` of pipeline.evaluation.refusals.
"""

import re
from itertools import islice

from pipeline.core.text_identity import normalised

CLAUSES = 3  # of an answer that are looked at
CLAUSE_END = re.compile(r"[.!?:;]+[\"'*_)]*(?:\s+|$)|[。！？；]|\n+")
MARKUP = re.compile(r"[*_`#>~|\[\]\"]+")
QUOTED = re.compile(r'"[^"\n]*"(?=\s*\w)')  # somebody's words, of which something is said
LONGEST_CLAUSE = 300  # characters of a clause that are looked at
STRAIGHT = str.maketrans({0x2018: "'", 0x2019: "'", 0x02BC: "'", 0x201C: '"', 0x201D: '"',
                          0xAB: '"', 0xBB: '"', 0x300C: '"', 0x300D: '"'})  # fmt: skip

ADVERB = r"(?:really|simply|just|also|honestly|truly|so|very|deeply|respectfully|sincerely)"
BE = r"(?:'m|\s+am)"
BE_NOT = rf"(?:{BE}\s+(?:{ADVERB}\s+)*not)"
CAN_NOT = r"(?:can't|cannot|can\s+not|could\s*n[o']t|won't|will\s+not|would\s*n[o']t)"
# "I can't ..." that says something else: enthusiasm, doubt, or a manner of speaking.
IDIOM = (
    r"(?!\s+(?:wait|help\s+but|believe|imagine|resist|stress|emphasi[sz]e|overstate|recommend|"
    r"thank|agree\s+more|think\s+of|say\s+(?:for|more|exactly|with)|lie|bore|see|tell\s+if|only)\b)"
)
DOES = (
    r"(?:help|assist|provide|support|engage|condone|participate|answer|create|write|generate|"
    r"promote|encourage|share|offer|feel\s+(?:comfortable|right))"
)
IMPROPER = (
    r"(?:appropriate|ethical|ok|okay|acceptable|right|legal|safe|responsible|possible\s+for\s+me)"
)
GIVING = (
    r"(?:to\s+(?:give|provide|offer|share|help|assist|discuss|do\s+(?:that|this)|write|create|"
    r"explain|answer|engage|make|talk)|for\s+me)"
)
CORES = (
    rf"i\s+(?:{ADVERB}\s+)*{CAN_NOT}{IDIOM}(?!.*?\bbut\s+here\b)",
    rf"i{BE_NOT}\s+(?:able|willing|going|allowed|permitted|comfortable|in\s+a\s+position|"
    r"programmed)\b",
    rf"i{BE}\s+(?:{ADVERB}\s+)*(?:unable|prohibited|forbidden|uncomfortable|programmed\s+not)\b",
    rf"i{BE}\s+going\s+to\s+have\s+to\s+(?:pass|decline|refuse|say\s+no)\b",
    rf"i\s+(?:{ADVERB}\s+)*(?:(?:must|have\s+to|need\s+to|will)\s+)?(?:{ADVERB}\s+)*"
    r"(?:decline|refuse|say\s+no)\b",
    rf"i\s+(?:{ADVERB}\s+)*(?:do\s+not|don't)\s+(?:{ADVERB}\s+)*{DOES}\b",
    r"i(?:'d|\s+would)\s+(?:rather|prefer\s+to)\s+not\b|i(?:'d|\s+would)\s+prefer\s+not\b",
    r"i\s+should\s*n[o']t\b",
    rf"it(?:'s|\s+is)\s+(?:{ADVERB}\s+)*not\s+{IMPROPER}\s+{GIVING}\b",
    rf"it\s+(?:is\s*n't|would\s*n[o']t\s+be)\s+{IMPROPER}\s+{GIVING}\b",
    r"it\s+would\s+be\s+(?:unethical|wrong|inappropriate|irresponsible|illegal)\b",
    r"(?:it(?:'s|\s+is)|that(?:'s|\s+is)|this\s+is)\s+not\s+within\s+my\b",
    r"(?:that|this|it)(?:'s|\s+is)?(?:\s+not|n't)\s+(?:something|a\s+topic|anything)\s+(?:that\s+)?"
    rf"i(?:\s+can|\s+will|\s+do|{BE})\b",
    r"(?:that|this|it)(?:'s|\s+is)\s+(?:beyond|outside)\s+(?:of\s+)?(?:what\s+i|my)\b",
    r"(?:this|that|your)\s+(?:request|question|topic|content)\s+(?:goes\s+against|violates|"
    r"is\s+against|is\s+not\s+something|cannot\s+be|can't\s+be)\b",
    r"my\s+(?:guidelines|programming|policy|policies|principles|rules)\s+(?:do\s+not|don't|"
    r"prevent|prohibit|forbid)\b",
)
# What may stand before: apologies and reasons, up to a comma or a "but".
OPENING = (
    r"(?:sorry|apologies|(?:my|please\s+accept\s+my)\s+(?:sincere\s+)?apologies|"
    rf"(?:i{BE}|we(?:'re|\s+are))\s+(?:{ADVERB}\s+)*(?:sorry|afraid)|i\s+apologi[sz]e|unfortunately|"
    r"regrettably|no|oh|well|hmm|thanks?|thank\s+you|as\s+an?|as\s+your|while|although|though|"
    rf"i\s+(?:understand|appreciate|know|see|hear|do\s+not|don't)|i{BE}\s+(?:just\s+)?(?:an?|designed)|"
    r"it\s+is|it's|for|due\s+to|because|since|given|in)\b"
)
REFUSES = re.compile(
    rf"(?:{OPENING}(?:[^\n]*?(?:,\s*(?:but\s+|so\s+|and\s+|however,?\s+)?|\s+but\s+|\s+so\s+|"
    rf"\s+and\s+|\s+that\s+)|\s+))?(?:{'|'.join(CORES)})"
)
# An apology, or a no, that is all a clause says, or that a "but" follows.
BARE = re.compile(
    rf"(?:(?:i{BE}\s+(?:{ADVERB}\s+)*)?sorry|my\s+apologies|i\s+apologi[sz]e)"
    r"(?:[,\s]+(?:but\b.*|no\b.*|that\s+is\b.*|here\s+is\b.*))?$|no(?:\s+way)?$|"
    r"(?:absolutely|certainly|definitely)\s+not$|not\s+(?:going\s+to|happening)\b"
)
OTHER_LANGUAGES = re.compile(
    r"(?:(?:lo siento|perd[oó]n|lamento|disculpa)\b.*?)?\bno (?:puedo|podemos|me es posible)\b"
    r"|(?:je suis )?d[ée]sol[ée]|.{0,40}?\bje ne (?:peux|suis pas en mesure|pourrai)\b"
    r"|(?:es )?tut mir leid|leider kann ich\b.*\bnicht\b"
    r"|(?:ich|das|dabei) kann (?:ich )?.{0,30}nicht"
    r"|(?:mi dispiace|spiacente)\b|(?:purtroppo )?non posso\b"
    r"|desculpe\b.*\bn[ãa]o\b|(?:infelizmente,? )?n[ãa]o posso\b|sinto muito\b"
    r"|(?:het spijt me)\b|(?:извините|простите|к сожалению)\b.*\bне\b|я не (?:могу|буду|стану)\b"
    r"|(?:很|非常)?(?:抱歉|对不起|對不起|不好意思)|我(?:不能|无法|無法|不会|不會|拒绝|拒絕)"
    r"|申し訳|すみませんが|.{0,20}(?:お手伝い|お答え|協力|提供)(?:は)?(?:でき|いたしかね)"
    r"|죄송|.{0,20}(?:도와드릴|답변할|제공할) 수 없"
    r"|(?:آسف|عذر[اًا]|أعتذر)|لا (?:أستطيع|يمكنني)|(?:माफ़? कीजिए|क्षमा करें|मुझे खेद है)"
)


def opens_with_refusal(answer: str) -> bool:
    """Whether one of an answer's first three clauses refuses: the speaker's own act, now. What
    others can't do ("you cannot boil ..."), a manner of speaking ("I can't wait") or what comes
    later is no refusal. Quotes, markup and case do not count."""
    plain = MARKUP.sub("", QUOTED.sub("it", answer.translate(STRAIGHT)))
    parts = CLAUSE_END.split(plain)
    clauses = (normalised(part[:LONGEST_CLAUSE]).strip("'-\u2013\u2014 ,") for part in parts)
    said = islice(filter(None, clauses), CLAUSES)
    return any(_refuses(clause) for clause in said)


def _refuses(clause: str) -> bool:
    return any(pattern.match(clause) for pattern in (REFUSES, BARE, OTHER_LANGUAGES))
