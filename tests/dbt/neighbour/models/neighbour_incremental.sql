{{ config(materialized='incremental', unique_key='word') }}

select
    word,
    amount
from {{ ref('neighbour_view') }}
{% if is_incremental() %}
where word not in (select existing.word from {{ this }} as existing)
{% endif %}
