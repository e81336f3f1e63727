# ruff: noqa: RUF001 - names are spelt as people spell them
"""Invented people; every address is under a domain reserved for examples."""

from __future__ import annotations

import unicodedata
from random import Random


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ENGLISH_FIRST = _words(
    """
    Abigail Ada Adrian Alana Alejandra Amara Amelia Andre Anika Ari Beatriz Benedict Bianca
    Caleb Camila Cedric Chloe Claudia Colin Cora Dahlia Damian Daphne Deepa Desmond Diego
    Dylan Elena Elias Elodie Emeka Esme Ezra Farah Felix Fiona Freya Gideon Greta Hana
    Harriet Hugo Imani Ines Isaac Ivy Jada Jasper Joelle Jonah Josephine Juno Kai Keiko
    Kiran Lachlan Laila Leon Liora Luca Lucía Maeve Malik Marisol Mateo Maya Micah Mina
    Nadia Naomi Nico Nina Noor Odette Olive Omar Opal Oscar Paloma Petra Priya Quinn Rafael
    Reza Rhea Roman Rosa Ruth Samir Saoirse Selma Simone Soren Tamsin Tariq Tess Thea Uma
    Valentina Vera Wesley Willa Xavier Yara Yuki Zadie Zoë
    """
)
ENGLISH_LAST = _words(
    """
    Abbott Acosta Adeyemi Alder Amin Archer Arroyo Ashby Bakshi Barlow Beckett Bell
    Blackwood Bloom Boone Brandt Briggs Calloway Cardoso Carver Castell Chen Clarke Coleman
    Conti Cruz Dalton Delgado Devine Dhar Donovan Draper Duarte Ellery Esposito Fairchild
    Farrow Finch Fischer Flores Foley Fontaine Frost Gallagher Garza Gibbs Grant Greer Hale
    Halvorsen Hamid Harlow Hart Hayashi Holloway Ibarra Iyer Jansen Kapoor Keane Kim
    Kowalski Lambert Larsen Lowell Maddox Marlowe Mensah Mercer Moreno Nakamura Novak Núñez
    O'Hara O'Neill Okafor Osei Pacheco Park Patel Pierce Quigley Ramsey Rao Reyes Rhodes
    Rossi Sandoval Shah Silva Sloane Sørensen Stone Sutter Tanaka Thorne Tran Underhill
    Vance Vargas Wade Walsh Whitlock Winslow Yates Young Zeller Zhou
    """
)
GERMAN_FIRST = _words(
    """
    Adèle Aleyna Anja Anton Ayşe Bastian Björn Carla Clemens Dagmar Elif Emil Fabian Finja
    Florian Frieda Gesa Greta Hannes Henrike Ida Jannik Jörg Jonas Jule Jürgen Karla Kasimir
    Katharina Käthe Lars Leni Levin Lotte Lukas Magdalena Malte Marlene Matteo Mats Mila
    Moritz Nele Niklas Oskar Paula Philipp Ronja Rosalie Sören Svenja Theo Tilda Till Uwe
    Viktoria Wiebke Yusuf Zoë Łukasz
    """
)
GERMAN_LAST = _words(
    """
    Albers Althaus Baumann Becker Böhm Brandt Çelik Dietrich Ebert Engel Fuchs Gärtner Groß
    Günther Hahn Hansen Hartmann Heinrich Hoffmann Huber Jäger Janssen Kaiser Keller Kılıç
    Köhler Krüger Kuhn Lang Lehmann Lindner Löwe Ludwig Maier Möller Müller Neumann Nowak
    Ørsted Otto Peters Pohl Preuß Reinhardt Richter Roth Sauer Schäfer Schmitt Schröder
    Schulz Seidel Sommer Stein Thiele Vogel Voß Wagner Weiß Winkler Wójcik Yıldız Ziegler
    """
)

_MAIL_DOMAINS = ("mail.example.com", "post.example.net", "inbox.example.org", "home.example.com")


def ascii_slug(text: str) -> str:
    """`text` in lower case ASCII letters and digits, accents dropped."""
    lowered = text.lower().replace("ß", "ss").replace("ø", "o").replace("ł", "l").replace("ı", "i")
    plain = unicodedata.normalize("NFKD", lowered)
    return "".join(c for c in plain if c.isascii() and c.isalnum())


def email_for(rng: Random, first: str, last: str, serial: int) -> str:
    """A plausible address; `serial` is unique per customer, so the address is too."""
    name = f"{ascii_slug(first)}.{ascii_slug(last)}"
    return f"{name}{serial}@{rng.choice(_MAIL_DOMAINS)}"
