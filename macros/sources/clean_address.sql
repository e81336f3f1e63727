{% macro clean_address(address) -%}
    nullif(
        regexp_replace(
            regexp_replace(
                {{ address }},
                '[\u00a0\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202f\u2060-\u206f\ufeff]+',
                '',
                'g'
            ),
            '^[\s\u001c-\u001f\u0085\u1680\u2000-\u200a\u2028\u2029\u205f\u3000]+'
            '|[\s\u001c-\u001f\u0085\u1680\u2000-\u200a\u2028\u2029\u205f\u3000]+$',
            '',
            'g'
        ),
        ''
    )
{%- endmacro %}
