select year, month from {{ ref('monthly_sales') }} group by year, month having count(*) > 1
