{{ config(materialized='table', contract={'enforced': true}) }}

select year, month,
       count(distinct order_id) as orders,
       count(distinct customer_durable_key) as customers,
       cast(sum(quantity) as bigint) as quantity,
       cast(sum(net_cents) as bigint) as net_cents,
       cast(coalesce(sum(profit_cents), 0) as bigint) as profit_cents,
       cast(sum(net_cents) as double) / count(distinct order_id) as mean_order_cents
from {{ ref('fact_sales') }}
group by year, month
