"""Names of months and weekdays as files have them: English, German, French, Spanish, Italian, Portuguese, Dutch."""

_MONTHS = (
    "jan january januar jänner janvier janv enero ene gennaio gen janeiro januari",
    "feb february februar février févr fév febrero febbraio fevereiro fev februari",
    "mar march märz mär mrz mars marzo março maart mrt",
    "apr april avril avr abril abr aprile",
    "may mai mayo maggio mag maio mei",
    "jun june juni juin junio giugno giu junho",
    "jul july juli juillet juil julio luglio lug julho",
    "aug august août aou agosto ago augustus",
    "sep sept september septembre septiembre setiembre settembre set setembro",
    "oct october oktober okt octobre octubre ottobre ott outubro out",
    "nov november novembre noviembre novembro",
    "dec december dezember dez décembre déc diciembre dic dicembre dezembro",
)
_WEEKDAYS = (
    "mon monday tue tues tuesday wed weds wednesday thu thur thurs thursday fri friday sat saturday sun sunday "
    "montag mo dienstag di mittwoch mi donnerstag do freitag fr samstag sa sonnabend sonntag so "
    "lundi lun mardi mar mercredi mer jeudi jeu vendredi ven samedi sam dimanche dim "
    "lunes martes miércoles mié jueves jue viernes vie sábado sáb domingo dom "
    "lunedì martedì mercoledì giovedì gio venerdì sabato sab "
    "segunda seg terça ter quarta qua quinta qui sexta sex "
    "maandag ma dinsdag woensdag wo donderdag vrijdag vr zaterdag za zondag zo"
)
_NUMBERS = {word: number for number, words in enumerate(_MONTHS, start=1) for word in words.split()}
_DAYS = frozenset(_WEEKDAYS.split())


def month(word: str) -> int | None:
    """Return the number of a month by its name or abbreviation (NFC), in any case; None: it is none."""
    return _NUMBERS.get(word.casefold())


def is_weekday(word: str) -> bool:
    """Tell whether a word (NFC) is a weekday's name or abbreviation."""
    return word.casefold() in _DAYS
