select
    word,
    amount::numeric(10, 2) as amount
from {{ ref('neighbour_words') }}
