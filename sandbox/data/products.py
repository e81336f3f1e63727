# ruff: noqa: RUF001 - product names use real typography
"""The catalogues of the two stores: invented goods at plausible prices, in minor units."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Product:
    """A product and the names of its variants (one empty name: no variants). Price per unit.

    `product_type` is empty where the merchant has set none.
    """

    title: str
    sku: str
    product_type: str
    price: int
    variants: tuple[str, ...] = ("",)
    popularity: int = 1


OUTDOOR: tuple[Product, ...] = (
    Product("Ridgeline Fleece", "NL-FLC", "Apparel", 7800, ("S", "M", "L", "XL"), 6),
    Product("Harbor Rain Shell", "NL-RSH", "Apparel", 14800, ("S", "M", "L"), 4),
    Product("Meadow Tee", "NL-TEE", "Apparel", 3200, ("S", "M", "L", "XL"), 9),
    Product(
        "Trail Crew Socks (2 pack)", "NL-SCK", "Accessories", 2400, ("35–38", "39–42", "43–46"), 9
    ),
    Product("Summit Beanie", "NL-BNE", "Accessories", 2800, ("Moss", "Ember", "Slate"), 7),
    Product("Enamel Camp Mug", "NL-MUG", "Home", 1800, ("White", "Navy"), 8),
    Product("Cedar & Smoke Candle", "NL-CND", "Home", 2600, ("",), 6),
    Product("Field Notebook Set", "NL-NTB", "Stationery", 1600, ("",), 5),
    Product("Insulated Bottle 750 ml", "NL-BTL", "Gear", 3900, ("Sand", "Fjord", "Black"), 7),
    Product("Packable Daypack", "NL-DPK", "Gear", 6400, ("Moss", "Black"), 4),
    Product("Merino Base Layer", "NL-MBL", "Apparel", 8900, ("S", "M", "L"), 4),
    Product("Wool Throw Blanket", "NL-THR", "Home", 12900, ("Rust", "Pine"), 2),
    Product("Trailhead Boots", "NL-BTS", "Footwear", 18900, ("38", "40", "42", "44"), 2),
    Product("Firestarter Kit", "NL-FSK", "Gear", 2200, ("",), 4),
    Product("Lantern, Rechargeable", "NL-LNT", "Gear", 5400, ("",), 3),
    Product("Sticker Sheet", "NL-STK", "", 600, ("",), 5),
)

COFFEE: tuple[Product, ...] = (
    Product("Hausröstung Espresso", "KK-ESP", "Kaffee", 1490, ("250 g", "500 g", "1 kg"), 9),
    Product("Äthiopien Guji Filter", "KK-GUJ", "Kaffee", 1690, ("250 g", "500 g"), 7),
    Product("Kolumbien Huila", "KK-HUI", "Kaffee", 1590, ("250 g", "500 g"), 6),
    Product("Entkoffeiniert", "KK-DEC", "Kaffee", 1450, ("250 g",), 3),
    Product("Handmühle Nordlicht", "KK-MUE", "Zubehör", 8900, ("Schwarz", "Buche"), 2),
    Product("Porzellanfilter V-Größe 2", "KK-FLT", "Zubehör", 2790, ("Weiß", "Petrol"), 3),
    Product("Filterpapier, 100 Stück", "KK-PAP", "Zubehör", 690, ("",), 8),
    Product("Emaillebecher", "KK-BEC", "Geschirr", 1290, ("Weiß", "Grün"), 5),
    Product("Café-Crème Tasse, 2er-Set", "KK-TAS", "Geschirr", 2490, ("",), 3),
    Product("Probierpaket (4 × 100 g)", "KK-PRB", "Kaffee", 2190, ("",), 6),
    Product("Schokolade 70 %", "KK-SCH", "Süßes", 490, ("",), 5),
    Product("Kaffee-Abo, Geschenkbox", "KK-ABO", "", 5900, ("",), 2),
)
