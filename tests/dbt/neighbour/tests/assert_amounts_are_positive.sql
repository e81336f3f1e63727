select word from {{ ref('neighbour_view') }} where amount <= 0
