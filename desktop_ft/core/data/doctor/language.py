"""Which language a text is written in: by its script, and for Latin by frequent words. Says nothing where it is not sure. Pure."""

# ruff: noqa: E501, RUF001 (lists of words and patterns in many languages read better whole)

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from desktop_ft.core.data.doctor.prose import without_code
from desktop_ft.core.data.doctor.texts import Seen

_SCRIPTS: Final = (
    ("ja", r"[\u3040-\u30ff]"), ("ko", r"[\uac00-\ud7af]"), ("zh", r"[\u3400-\u9fff]"), ("ar", r"[\u0600-\u06ff]"), ("he", r"[\u0590-\u05ff]"),
    ("hi", r"[\u0900-\u097f]"), ("bn", r"[\u0980-\u09ff]"), ("ta", r"[\u0b80-\u0bff]"), ("te", r"[\u0c00-\u0c7f]"), ("th", r"[\u0e00-\u0e7f]"),
    ("el", r"[\u0370-\u03ff]"), ("ka", r"[\u10a0-\u10ff]"), ("hy", r"[\u0530-\u058f]"), ("cyrillic", r"[\u0400-\u04ff]"),
)  # fmt: skip
_SCRIPT_PATTERNS: Final = tuple((name, re.compile(pattern)) for name, pattern in _SCRIPTS)
_LATIN: Final = re.compile(r"[A-Za-zÀ-ɏḀ-ỿ]")
_WORDS: Final[Mapping[str, frozenset[str]]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the of and to in is that it for was on are as with his they at be this have from or had by but not what all were we when your can said there an which she do their if will how about out up would these you he has been its than them could who may should into more some a i my our",
        "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur bis mehr durch man sein wurde wenn kann ich du wir ihr mein dein kein mich dich",
        "fr": "le de un être et à il avoir ne je son que se qui ce dans en du elle au pour pas sur plus par avec tout les des est une la vous nous mais ou où donc cette ces sont été dont leur mes ses aux d l qu c j n s très peut comme fait être",
        "es": "el de que y a en un ser se no haber por con su para como estar tener le lo todo pero más hacer o poder este ir otro ese la si me ya los las del una es al son muy también puede hay qué cuando sus está desde donde eso mi porque entre sobre ha",
        "pt": "o de que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu sua ou ser quando muito há nos já está eu também só pelo pela até isso ela entre era depois sem mesmo aos seus quem nas me esse eles você essa num nem suas meu às minha são pode isto",
        "it": "di e il la che è un a per in una sono mi si lo non ho ma ti con del da ci le della i al nel più anche se come dei gli alla questo quando essere ha delle hai cosa nella sul questa molto loro suo dalla o perché può",
        "nl": "de van een het en in is dat op te zijn voor met die niet aan er om hij ook als bij door maar uit naar dan nog wel wordt over hebben heeft worden kan ze je ik we deze of was geen meer werd moet zich deze dit kunnen jouw",
        "sv": "och att det i en jag hon som han på den med var sig för så till är men ett om hade de av icke mig du henne då sin nu har inte hans honom skulle hennes där min man ej vid kunde något från ut när efter upp vi dem vara vad över än dig kan sina här ha mot alla eller också detta",
        "da": "og i jeg det at en den til er som på de med han af for ikke der var mig sig men et har om vi min havde ham hun nu over da fra du ud sin dem os op man hans hvor eller hvad skal selv her alle vil blev kunne ind når være dog noget ville jo deres efter ned skulle denne også",
        "pl": "w i na z do się nie jest że to o jak po od za ale co dla przez tak czy są może być już tylko jego jej ich które który która oraz przy ten ta te bardzo tym także można ma",
        "tr": "ve bir bu da için ile de çok daha olarak en gibi ama kadar olan var ne o mi değil her sonra ki şey ben sen biz onlar olduğu olur veya ya nasıl çünkü",
        "id": "yang dan di untuk dengan ini dari adalah dalam tidak pada itu akan ke juga atau ada oleh sebagai dapat bisa saya anda mereka kami kita karena lebih telah sudah seperti jika",
        "vi": "và của là có được cho không trong một các với này những đã khi người để từ đến về như bạn tôi cũng nhiều ra vào sẽ hay nếu thì rất ở trên lại phải",
        "ro": "și de în la a cu pe nu o un să care este din mai se pentru ce sunt că au fi dar sau prin fost ca după foarte poate această acest",
        "cs": "a v se na je že to s z do o ve pro za jsem ale jak jako by po tak co který které která nebo při jsou bylo byl ze podle může už aby není",
        "hu": "a az és hogy nem is egy van ez meg de csak már mint vagy ha el azt ki még lehet volt minden nagyon kell amely mert után",
        "fi": "ja on ei se että oli hän mutta niin kun kuin ovat joka myös tai jos ole voi sen mitä sitä olla tämä siitä hyvin kanssa nyt vain",
    }.items()
}
_BULGARIAN: Final = frozenset("се да са ще е това като към след която които може най той тя има".split())
_TOKEN: Final = re.compile(r"[^\W\d_]{2,24}")
"""Single letters are words in many languages and names of things in all."""
_HEAD: Final = 1500
_FEWEST_LETTERS: Final = 8
"""Of a script of its own."""
_FEWEST_HITS: Final = 3
_SHARE: Final = 0.2
"""Frequent words among all words; every language of the list has well above a quarter in prose."""
_MARGIN: Final = 1.4
"""Languages share small words: the best has to be clear of the next."""
_NAMES: Final[Mapping[str, str]] = {
    "en": r"english|englisch|anglais|inglés|inglês|inglese|angielsk\w*|английск\w*|英语|英文|英語|영어", "de": r"german\w*|deutsch\w*|allemand|alemán|alemão|tedesco",
    "fr": r"french|französisch\w*|français\w*|francés|francês|francese|法语", "es": r"spanish|spanisch\w*|español|espagnol|castellano|espanhol|spagnolo|西班牙语",
    "pt": r"portuguese|portugiesisch\w*|português|portugais|portugués|brazilian", "it": r"italian\w*|italienisch\w*|italien|italiano", "nl": r"dutch|flemish|niederländisch\w*|nederlands\w*|néerlandais",
    "sv": r"swedish|svensk\w*|schwedisch\w*", "da": r"danish|norwegian|dansk\w*|norsk\w*|dänisch\w*", "pl": r"polish|polsk\w*|polnisch\w*", "tr": r"turkish|türk\w*", "id": r"indonesian|malay|bahasa",
    "vi": r"vietnamese|tiếng việt", "ro": r"romanian|român\w*", "cs": r"czech|slovak|český|česk\w*", "hu": r"hungarian|magyar\w*", "fi": r"finnish|suom\w*", "ru": r"russian|русск\w*|russisch\w*|russe|ruso",
    "uk": r"ukrainian|українськ\w*", "bg": r"bulgarian|българск\w*", "ja": r"japanese|japanisch\w*|japonais|japonés|日本語|日语|romaji|kanji|hiragana", "ko": r"korean|한국어|hangul|韩语", "zh": r"chinese|mandarin|cantonese|chinesisch\w*|chinois|中文|汉语|漢語|中国語",
    "ar": r"arabic|persian|farsi|urdu|العربية|فارسی|اردو", "he": r"hebrew|yiddish|עברית", "hi": r"hindi|marathi|nepali|sanskrit|हिन्दी|हिंदी", "bn": r"bengali|bangla|বাংলা", "ta": r"tamil", "te": r"telugu", "th": r"thai", "el": r"greek|griechisch\w*|ελληνικ\w*", "ka": r"georgian", "hy": r"armenian",
}  # fmt: skip
_NAME_PATTERNS: Final = {
    language: re.compile(rf"\b(?:{names})\b|{names.rpartition('|')[2]}", re.IGNORECASE) for language, names in _NAMES.items()
}
_TRANSLATING: Final = re.compile(
    r"\b(?:translat\w*|translit\w*|übersetz\w*|tradu\w{1,8}|traduz\w*|vertaal\w*|översätt\w*|przetłumacz\w*|tłumacz\w*|перевед\w*|перевод\w*|multilingual|bilingual|foreign language"
    r"|(?:in|into|to) (?:another|other|different|\w+ different) languages?)\b|翻译|翻譯|翻訳|번역",
    re.IGNORECASE,
)
_MAIN_SHARE: Final = 0.8
"""From this share of the answers on, a file has a main language."""
_FEWEST_FOR_MAIN: Final = 20


def language_of(text: str) -> str | None:
    """The language of a text, as its two-letter code; None where it is short, mixed, or none of those that are known."""
    if text.isascii():
        return _by_words(text[:_HEAD].lower())
    head = without_code(text[: 2 * _HEAD])[:_HEAD]
    num_latin = len(_LATIN.findall(head))
    counts = {name: len(pattern.findall(head)) for name, pattern in _SCRIPT_PATTERNS}
    script, most = max(counts.items(), key=lambda item: item[1])
    if counts["ja"] >= 2 and counts["ja"] + counts["zh"] >= _FEWEST_LETTERS and counts["ja"] * 8 >= counts["zh"]:
        script, most = "ja", counts["ja"] + counts["zh"]
    if most >= _FEWEST_LETTERS and most * (1 if script not in ("zh", "ja", "ko") else 2) > num_latin:
        return _cyrillic(head.lower()) if script == "cyrillic" else script
    return _by_words(head.lower()) if num_latin > most else None


def languages_of(row: Seen) -> tuple[str | None, str | None]:
    """The languages of a row's last request and of its answers; None for an answer whose language was asked for."""
    request = next((asked for asked, _ in reversed(row.exchanges) if asked), "")
    answer = language_of("\n".join(text[:_HEAD] for text in row.said[-3:]))
    if answer is None:
        return None, None
    asked = language_of(request)
    if answer != asked and not row.is_text and _is_asked_for(answer, row.request[-20_000:]):
        return asked, None
    return asked, answer


def mixed_rows(languages: Sequence[tuple[int, str | None, str | None]]) -> list[int]:
    """Indices of the rows that answer in another language than they are asked in, or than nearly all of the file is in.

    Args:
        languages: Index, language of the request and of the answer, as `languages_of` gives.
    """
    main = main_language([answer for _, _, answer in languages])
    return [
        index
        for index, asked, answer in languages
        if answer is not None and ((asked is not None and asked != answer) or (main is not None and main != answer))
    ]


def main_language(answers: Sequence[str | None]) -> str | None:
    """The language of nearly all answers, or None."""
    known = Counter(answer for answer in answers if answer is not None)
    if sum(known.values()) < _FEWEST_FOR_MAIN:
        return None
    ((language, count),) = known.most_common(1)
    return language if count >= _MAIN_SHARE * sum(known.values()) else None


def _is_asked_for(language: str, request: str) -> bool:
    return _TRANSLATING.search(request) is not None or _NAME_PATTERNS[language].search(request) is not None


def _cyrillic(lower: str) -> str:
    """Ukrainian and Russian by letters that the other does not have, Bulgarian by its small words; Russian where nothing says otherwise."""
    if any(letter in lower for letter in "іїєґ"):
        return "uk"
    if any(letter in lower for letter in "ыэё"):
        return "ru"
    return "bg" if sum(word in _BULGARIAN for word in _TOKEN.findall(lower)) >= _FEWEST_HITS else "ru"


def _by_words(lower: str) -> str | None:
    text = without_code(lower) if "`" in lower else lower
    words = Counter(_TOKEN.findall(text))
    hits: Counter[str] = Counter()
    for word in words:
        for language in _LANGUAGES_OF_WORD.get(word, ()):
            hits[language] += words[word]
    if len(hits) == 0:
        return None
    (best, most), *others = hits.most_common(2)
    distinct = sum(word in _WORDS[best] for word in words)
    next_most = others[0][1] if others else 0
    if most < _FEWEST_HITS or distinct < 2 or most < _SHARE * sum(words.values()) or most < _MARGIN * next_most:
        return None
    return best


def _by_word() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for language, words in _WORDS.items():
        for word in words:
            found.setdefault(word, []).append(language)
    return found


_LANGUAGES_OF_WORD: Final[Mapping[str, list[str]]] = _by_word()
