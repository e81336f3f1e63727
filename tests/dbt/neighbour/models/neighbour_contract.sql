{{ config(materialized='table', meta={'fillfactor': 50}) }}

select
    word,
    amount
from {{ ref('neighbour_view') }}
